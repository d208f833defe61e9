"""Measuring what docs/results.md shows: in parts, resumed, joined; and the sentences, blocks and figures made of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builtin_model import load_once

from sharpv_cli import session
from sharpv_cli.commands.eval import running
from sharpv_cli.docs import blocks, results, takeaway
from sharpv_cli.docs.tables import Table, read
from sharpv_cli.errors import UsageError
from sharpv_cli.shelf import SHELF
from sharpv_cli.types import Evaluation, GroupScore, Interval, MethodScore

LISTED = """
[first]
dataset = "shapes"
limit = 4
methods = "dense,sharpv"

[second]
dataset = "shapes"
limit = 6
scale = 3
methods = "dense,visual"
sweep = ["w=0,2"]

[curve]
dataset = "shapes"
limit = 2
budgets = [0.1, 0.5]
methods = "sharpv"
"""


@pytest.fixture(autouse=True)
def _loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    load_once(monkeypatch)


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Table]:
    (tmp_path / "tables.toml").write_text(LISTED)
    return read(tmp_path / "tables.toml")


def answers(file: Path) -> Iterator[dict[str, Any]]:
    text = file.read_bytes()
    for line in (gzip.decompress(text) if file.suffix == ".gz" else text).splitlines():
        document = json.loads(line)
        if document["schema"] == "sharpv.eval.answer/1":
            yield document


def test_the_list_names_commands_and_the_budgets_of_the_curve(tables: dict[str, Table]) -> None:
    assert list(tables) == ["first", "second", "curve/0.1", "curve/0.5"]
    assert tables["second"].command == (
        "sharpv eval shapes --limit 6 --scale 3 --methods dense,visual --sweep w=0,2 -o docs/results/second.jsonl"
    )
    assert (tables["curve/0.5"].match, tables["curve/0.5"].methods) == ("all:0.5", "dense,sharpv")
    assert set(results.chosen(tables, "curve/*,first")) == {"first", "curve/0.1", "curve/0.5"}
    assert set(results.chosen(tables, "!curve/*,first")) == {"second"}


def test_parts_are_resumed_shared_and_joined(tables: dict[str, Table], tmp_path: Path) -> None:
    parts, kept, clips = tmp_path / "parts", tmp_path / "kept", tmp_path / "clips"
    first, curve = results.chosen(tables, "first"), results.chosen(tables, "first,curve/*")
    assert results.work(first, parts, "1/2", clips, "cpu")
    assert results.keep(first, parts, kept) == ["first"], "the other half is missing"
    assert not kept.exists()

    # What a killed process left is gone on with, and what one table has asked is not asked by another one.
    part = parts / "first.1-2.jsonl"
    lines = part.read_text().splitlines(keepends=True)
    started = [line.replace('"answer": "', '"answer": "as kept: ') for line in lines[:2]]
    assert started != lines[:2]
    part.rename(parts / "first.1-2.unfinished").write_text("".join(started))
    for shard in ("1/2", "2/2"):
        assert results.work(curve, parts, shard, clips, "cpu")
    assert part.read_text().startswith("".join(started))
    assert not list(parts.rglob("*.unfinished"))
    asked = {line["item"]: line["answer"] for line in answers(part) if line["method"] == "dense"}
    again = [line for line in answers(parts / "curve" / "0.1.1-2.jsonl") if line["method"] == "dense"]
    assert [line["answer"] for line in again] == [asked[line["item"]] for line in again] != []

    assert results.keep(curve, parts, kept) == []
    items = {line["item"] for line in answers(kept / "first.jsonl.gz")}
    assert items == {"00000-0", "00000-1", "00001-0", "00001-1"}
    found = results.evaluations(curve, kept)
    assert {name: one.questions for name, one in found.items()} == {
        "first": 4,
        "curve/0.1": 2,
        "curve/0.5": 2,
    }


def test_clips_can_be_drawn_before_there_is_a_model(
    tables: dict[str, Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "open_session", lambda *_: pytest.fail("a model was loaded"))
    (tmp_path / "results").mkdir()
    (tmp_path / "tables.toml").rename(tmp_path / "results" / "tables.toml")
    clips, parts = tmp_path / "clips", tmp_path / "parts"
    given = [
        "--docs",
        str(tmp_path),
        "--parts",
        str(parts),
        "--clips",
        str(clips),
        "--only",
        "first",
        "--draw",
    ]
    for shard, there in (("1/2", 1), ("2/2", 2)):
        with pytest.raises(SystemExit) as end:
            results.main([*given, "--shard", shard])
        assert (end.value.code, len(list(clips.iterdir()))) == (0, there)
    assert not parts.exists()


def test_tables_of_a_process_share_the_model(
    tables: dict[str, Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, make = [], session._open
    monkeypatch.setattr(session, "_open", lambda *given: opened.append(1) or make(*given))
    monkeypatch.setattr(running, "open_session", session.open_session)
    monkeypatch.setattr(session, "_keeper", None)
    monkeypatch.setattr(SHELF, "places", 0)
    results.hold()
    try:
        assert results.work(results.chosen(tables, "curve/*"), tmp_path, "1/1", tmp_path / "clips", "cpu")
    finally:
        SHELF.give_up()
    assert len(opened) == 1


def test_what_shows_a_table_that_is_not_complete_stays_as_it_was(
    tables: dict[str, Table], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs, parts = tmp_path / "docs", tmp_path / "parts"
    (docs / "results").mkdir(parents=True)
    (tmp_path / "tables.toml").rename(docs / "results" / "tables.toml")
    (tmp_path / "README.md").write_text(
        "<!--=first dense kv-->?<!--/--> <!--=second dense kv-->as before<!--/-->"
    )
    names = ("methods first", "methods second", "beside first second", "curve", "losses first first")
    page = "".join(f"<!-- results: {name} -->\nbefore\n<!-- end -->\n" for name in names)
    (docs / "results.md").write_text(page)
    (docs / "model-card.md").write_text("nothing to fill")
    assert results.work(results.chosen(tables, "first"), parts, "1/1", tmp_path / "clips", "cpu")
    assert results.work(results.chosen(tables, "curve/0.1"), parts, "1/1", tmp_path / "clips", "cpu")
    earlier = docs / "results" / "second.jsonl.gz"
    line = {"schema": "sharpv.eval.methods/1", "methods": {"dense": "another model's"}, "device": "cpu"}
    earlier.write_bytes(gzip.compress(json.dumps(line).encode() + b"\n"))

    for only in ("*", "first"):  # one that is left out here may have been measured with another model, too
        with pytest.raises(SystemExit) as end:
            results.main(["--parts", str(parts), "--docs", str(docs), "--only", only])
        assert end.value.code == 6
        told = capsys.readouterr()
        assert told.out.startswith("not complete yet, and left as it was: second, curve/0.5; the same")
        assert ("holds answers of dense with other settings" in told.err) == (only == "first")

    assert (tmp_path / "README.md").read_text() == (
        "<!--=first dense kv-->100.0<!--/--> <!--=second dense kv-->as before<!--/-->"
    )
    first, rest = (docs / "results.md").read_text().split("<!-- results: methods second", 1)
    assert "| `dense` |" in first
    assert rest == page.split("<!-- results: methods second", 1)[1]
    assert (docs / "results" / "first.md").exists()
    assert not (docs / "results" / "second.md").exists()
    assert not (docs / "results" / "curve" / "curve.md").exists()


def score(
    name: str, lost: float = 0.0, high: float = 0.0, groups: tuple[GroupScore, ...] = ()
) -> MethodScore:
    paired = (None, None) if name == "dense" else (-lost, Interval(-2 * lost, high))
    return MethodScore(
        name, 0.9 - lost, Interval(0.1, 1.0), *paired, 0.1, 0.05, None, 1.0, "fast", 0.1, 0.2, None, groups, (), (),
        kv_bytes=2048.0,
    )  # fmt: skip


def found(name: str, lost: float, high: float, groups: tuple[GroupScore, ...] = ()) -> Evaluation:
    scores = (score("dense"), score("sharpv", lost, high, groups))
    return Evaluation(name, "m", "cpu", 1000, 1000, 500, "sharpv", "dense", scores, ())


def test_a_loss_is_named_where_its_interval_lies_below_zero() -> None:
    kinds = (
        GroupScore("count", 9, 0.5, -0.02, Interval(-0.04, -0.01)),
        GroupScore("order", 9, 0.5, -0.03, Interval(-0.06, 0.01)),
        GroupScore("event", 9, 0.5, -0.05, Interval(-0.06, -0.04)),
    )
    point = {"method": "sharpv", "visual_retention": 0.03, "difference": -0.1}
    point["difference_interval"] = {"low": -0.2, "high": -0.05}
    curve = {"questions": 1000, "points": [point]}
    clips = [found("shapes:a", 0.02, 0.01), replace(found("shapes:b", 0.04, 0.0), questions=240)]
    assert takeaway.losses(curve, found("shapes", 0.0, 0.0, kinds), clips).splitlines() == [
        "1. Of 1 budgets, SharpV is behind dense beyond chance with 3.0 % of the visual tokens (10.0 points, "
        "5.0 to 20.0) (1,000 questions each).",
        "2. Of 3 types of question, SharpV is behind dense beyond chance in `event` (5.0 points, 4.0 to 6.0), "
        "`count` (2.0 points, 1.0 to 4.0) and in no other (1,000 questions, 10.0 % of the visual tokens).",
        "3. Of 2 kinds of clip, SharpV is behind dense beyond chance on none (240 to 1,000 questions each).",
    ]


def test_a_page_gets_its_blocks_and_figures_and_keeps_the_rest(
    tables: dict[str, Table], tmp_path: Path
) -> None:
    views = blocks.Views(tables, {"first": found("shapes", 0.02, 0.0)}, {}, tmp_path)
    page = "a\n<!-- results: beside first -->\nold\n\nold\n<!-- end -->\nb <!--=first sharpv less-->?<!--/--> c\n"
    filled = blocks.filled(page, views)
    assert filled.startswith("a\n<!-- results: beside first -->\n| clips and questions |")
    assert "| `shapes` | 1,000 | 90.0 |" in filled
    assert filled.endswith("|\n<!-- end -->\nb <!--=first sharpv less-->-2.0<!--/--> c\n")
    assert blocks.filled(filled, views) == filled
    assert ">-4.0 to +0.0<" in blocks.filled("<!--=first sharpv between-->?<!--/-->", views)
    for wrong in (
        "<!-- results: nothing first -->\n<!-- end -->",
        "<!-- results: methods gone -->\n<!-- end -->",
    ):
        with pytest.raises(UsageError, match="no such"):
            blocks.filled(wrong, views)
    for wrong in ("figure: wrong", "type of question: over 15 tokens"):  # another model may answer briefly
        figure = wrong.partition(": ")[2].replace("over", "right:over")
        with pytest.raises(UsageError, match=f"no such {wrong}"):
            blocks.filled(f"<!--=first sharpv {figure}-->?<!--/-->", views)
    with pytest.raises(UsageError, match="no such method: evs"):
        blocks.filled("<!--=first evs right-->?<!--/-->", views)


def test_the_lead_over_fewer_frames_has_its_interval() -> None:
    scores = (replace(score("dense"), method="dense-fewer-frames"), score("sharpv", -0.1, 0.25))
    long = replace(found("shapes:long", 0.0, 0.0), baseline="dense-fewer-frames", scores=scores)
    told = takeaway.lead([replace(long, match=f"tokens:{count}") for count in (512, 2048)])
    assert "less dense with fewer: +10.0 points (+20.0 to +25.0) at 512, +10.0 points" in told
    assert told.endswith("at 2,048 tokens (1,000 questions each).")
