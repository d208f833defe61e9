"""Shares, intervals, fairness, and the three forms of the report."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from make_outcome import make_outcome
from rich.console import Console
from run_cli import ROOT

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.dataset import Dataset, Item
from sharpv_cli.evaluation.results import Missed, Outcome
from sharpv_cli.evaluation.statistics import paired_bootstrap, wilson
from sharpv_cli.evaluation.summary import About, summarize
from sharpv_cli.report.eval_chart import EvalChart
from sharpv_cli.report.eval_document import eval_document, eval_markdown
from sharpv_cli.report.eval_export import eval_exports
from sharpv_cli.tables.entries import Problem
from sharpv_cli.types import Evaluation, GroupScore

ABOUT = About("builtin", "cpu", "sharpv", "dense")


def item(name: str, video: str, group: str) -> Item:
    return Item(name, Path(video), "what?", "A", "letter", group)


ITEMS = (item("1", "x", "colour"), item("2", "x", "shape"), item("3", "y", "colour"), item("4", "z", "shape"))


def outcome(name: str, method: str, right: bool, generated: int = 1, prefill: float = 0.02) -> Outcome:
    dense = method == "dense"
    return make_outcome(
        item=name,
        method=method,
        right=right,
        budget=None if dense else 0.4,
        generated=generated,
        engine="fast" if dense else "fastv",
        prefill_sec=prefill,
        similarities=None if dense else [0.5, 0.1],
        warnings=["damaged"] if name == "1" else [],
    )


def evaluation() -> Evaluation:
    """Question 4 has no answer of sharpv: it counts for no method."""
    answers = [
        outcome("1", "dense", True, 1, 0.01),
        outcome("2", "dense", True, 4, 0.03),
        outcome("3", "dense", False, 20, 0.05),
        outcome("4", "dense", False),
        outcome("1", "sharpv", True),
        outcome("2", "sharpv", False),
        outcome("3", "sharpv", False),
    ]
    done = {(one.item, one.method): one for one in answers}
    missed = [Missed("4", "sharpv", "k", "no room", "take less", 2)]
    dataset = Dataset("mine", ITEMS, (Problem("mine.jsonl:7", "no question"),))
    return summarize(dataset, ["dense", "sharpv"], done, missed, ABOUT)


def test_figures_are_over_the_questions_that_all_answered() -> None:
    result = evaluation()
    assert (result.questions, result.asked, result.videos) == (3, 4, 2)
    dense, sharpv = result.scores
    assert dense.accuracy == pytest.approx(2 / 3)
    assert sharpv.accuracy == pytest.approx(1 / 3)
    assert dense.difference is None
    assert sharpv.difference == pytest.approx(-1 / 3)
    assert dense.prefill_sec == 0.03
    assert dense.groups == (GroupScore("colour", 2, 0.5), GroupScore("shape", 1, 1.0))
    # By the baseline's lengths, for sharpv as well.
    names = [group.name for group in sharpv.lengths]
    assert names == ["1-2 tokens", "3-5 tokens", "over 15 tokens"]
    assert [group.accuracy for group in sharpv.lengths] == [1.0, 0.0, 0.0]
    assert sharpv.similarities == pytest.approx((0.5, 0.1))
    assert dense.similarities == ()
    assert [(f.place, f.method, f.hint, f.exit_code) for f in result.failures] == [
        ("mine.jsonl:7", None, "correct it, or leave it out", 2),
        ("4", "sharpv", "take less", 2),
    ]
    assert result.warnings == (("damaged", 2),)
    assert (dense.budget, sharpv.budget) == (None, pytest.approx(0.4))
    assert dense.difference_interval is None
    assert sharpv.difference_interval is None, "two videos say nothing about others"


def test_one_failure_of_all_methods_is_said_once() -> None:
    missed = [Missed("1", method, "k", "gone", None, 3) for method in ("dense", "sharpv")]
    result = summarize(Dataset("mine", ITEMS), ["dense", "sharpv"], {}, missed, ABOUT)
    assert [(f.place, f.method) for f in result.failures] == [("1", None)]
    assert result.scores == ()
    some = summarize(Dataset("mine", ITEMS), ["dense", "sharpv", "evs"], {}, missed, ABOUT)
    assert [(f.place, f.method) for f in some.failures] == [("1", "dense"), ("1", "sharpv")]


def test_a_method_that_can_answer_nothing_does_not_empty_the_report() -> None:
    done = {(name, "evs"): outcome(name, "evs", True) for name in ("1", "2")}
    missed = [Missed("1", "dense", "k", "no room", None, 2)]
    result = summarize(Dataset("mine", ITEMS), ["dense", "evs"], done, missed, ABOUT)
    assert [score.method for score in result.scores] == ["evs"]
    assert (result.questions, result.baseline) == (2, "evs")


def test_the_notes_say_what_is_not_fair() -> None:
    text = eval_markdown(evaluation())
    assert "Not at the budget, below which they cannot go: sharpv (50.0 % for 40.0 %)." in text
    assert "Engines, whose times do not compare: dense fast, sharpv fastv." in text
    assert "Not at the budget" not in eval_markdown(replace(evaluation(), scores=evaluation().scores[:1]))


def test_wilsons_interval() -> None:
    # For 9 of 10, from his formula by hand.
    interval = wilson(9, 10)
    assert (interval.low, interval.high) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert wilson(0, 5).low == 0.0
    assert wilson(5, 5).high == 1.0


def test_the_bootstrap_draws_videos_as_all_draws_would() -> None:
    """Three videos of 1, 2 and 3 questions: all 27 equally likely draws, against the percentiles of resampling."""
    clusters = ["a", "b", "b", "c", "c", "c"]
    ours = [True, True, False, True, True, True]
    theirs = [False, True, True, True, False, False]
    gain, size = {"a": 1, "b": -1, "c": 2}, {"a": 1, "b": 2, "c": 3}
    draws = [
        sum(gain[c] for c in chosen) / sum(size[c] for c in chosen)
        for chosen in itertools.product("abc", repeat=3)
    ]
    interval = paired_bootstrap(ours, theirs, clusters, resamples=20_000)
    assert interval.low == pytest.approx(np.percentile(draws, 2.5, method="inverted_cdf"), abs=0.02)
    assert interval.high == pytest.approx(np.percentile(draws, 97.5, method="inverted_cdf"), abs=0.02)
    assert paired_bootstrap(ours, theirs, clusters) == paired_bootstrap(ours, theirs, clusters)


def test_equal_methods_have_no_difference() -> None:
    interval = paired_bootstrap([True, False] * 20, [True, False] * 20, list(range(40)))
    assert (interval.low, interval.high) == (0.0, 0.0)


def drawn(result: Evaluation, width: int, *, ascii_only: bool = False) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii" if ascii_only else "utf-8", write_through=True)
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False)
    console.print(EvalChart(result))
    return stream.buffer.getvalue().decode()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_every_line_fits_and_no_figure_is_lost(width: int, ascii_only: bool) -> None:
    text = drawn(evaluation(), width, ascii_only=ascii_only)
    assert max(map(len, text.splitlines())) <= width
    for figure in ("66.7", "33.3", "-33.3", "50.0", "25.0"):
        assert figure in text
    assert text.isascii() or not ascii_only


def test_many_methods_stand_below_each_other() -> None:
    one = evaluation()
    scores = tuple(replace(one.scores[1], method=f"sharpv:w={n},m=0.{n}") for n in range(9))
    text = drawn(replace(one, scores=scores), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert all(score.method in text for score in scores)


def test_nothing_answered_is_said(tmp_path: Path) -> None:
    empty = replace(evaluation(), scores=(), questions=0)
    assert "no question was answered" in drawn(empty, 80)
    assert "No question was answered" in eval_markdown(empty)
    jsonschema.validate(eval_document(empty, settings={}), schema())


def schema() -> dict[str, object]:
    text = (ROOT / "docs" / "schema" / "sharpv.eval.1.json").read_text(encoding="utf-8")
    result: dict[str, object] = json.loads(text)
    return result


def test_the_document_is_as_its_schema_says() -> None:
    document = eval_document(evaluation(), settings={"visual": {"w": 1.0}})
    jsonschema.validate(document, schema())
    assert document["methods"]["sharpv"]["difference"] == pytest.approx(-1 / 3)  # type: ignore[index]
    assert document["failures"][0] == {  # type: ignore[index]
        "place": "mine.jsonl:7",
        "method": None,
        "error": "no question",
        "hint": "correct it, or leave it out",
        "exit_code": 2,
    }


@pytest.mark.parametrize(("score", "said"), [("exact", "generated answer"), ("likelihood", "likeliest")])
def test_every_report_says_what_counts_as_the_answer(score: str, said: str) -> None:
    scored = replace(evaluation(), score=score)
    document = eval_document(scored, settings={})
    jsonschema.validate(document, schema())
    assert document["score"] == score
    assert said in eval_markdown(scored)
    assert said in drawn(scored, 120)


def test_markdown_has_a_row_a_method() -> None:
    text = eval_markdown(evaluation())
    assert "| `sharpv` | 33.3 | " in text
    assert "| `colour` | 2 | 50.0 | 50.0 |" in text


def test_exports_are_written_whole(tmp_path: Path) -> None:
    exports = eval_exports(
        markdown=str(tmp_path / "r.md"),
        charts=[str(tmp_path / name) for name in ("c.svg", "c.png", "c.html")],
        results=tmp_path / "r.jsonl",
        settings={},
    )
    exports.write(evaluation())
    assert (tmp_path / "r.md").read_text() == eval_markdown(evaluation())
    assert "<svg" in (tmp_path / "c.svg").read_text()
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert "default-src 'none'" in (tmp_path / "c.html").read_text()
    assert exports.stdout(evaluation()) is None


@pytest.mark.parametrize(("markdown", "chart"), [("r.jsonl", None), ("a.md", "a.md"), (None, "a.bmp")])
def test_exports_that_cannot_be(tmp_path: Path, markdown: str | None, chart: str | None) -> None:
    def inside(name: str | None) -> str | None:
        return None if name is None else str(tmp_path / name)

    with pytest.raises(UsageError):
        eval_exports(
            markdown=inside(markdown),
            charts=[*filter(None, [inside(chart)])],
            results=tmp_path / "r.jsonl",
            settings={},
        )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, True),
        ({"kv_retention": 0.99}, False),
        ({"visual_retention": 0.99}, False),
        ({"answer": "another"}, False),
    ],
)
def test_one_token_or_answer_is_enough_to_have_pruned(changed: dict[str, object], told: bool) -> None:
    whole = {"visual_retention": 1.0, "kv_retention": 1.0}
    done = {
        (name, method): make_outcome(
            item=name, method=method, **{**whole, **(changed if (name, method) == ("3", "evs") else {})}
        )
        for name in "123"
        for method in ("dense", "evs")
    }
    result = summarize(Dataset("mine", ITEMS[:3]), ["dense", "evs"], done, (), ABOUT)
    assert [score.pruned_nothing for score in result.scores] == [False, told]
    assert ("Pruned nothing" in eval_markdown(result)) == told


def test_without_dense_itself_what_was_kept_decides() -> None:
    done = {("1", "evs"): make_outcome(item="1", method="evs", visual_retention=1.0, kv_retention=1.0)}
    [score] = summarize(Dataset("mine", ITEMS[:1]), ["evs"], done, (), ABOUT).scores
    assert score.pruned_nothing
