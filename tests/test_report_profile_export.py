"""Exports of a profile: refused before any work, written after each run, and readable by others."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from io import FileIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from golden_profile import GOLDEN, golden_profile
from jsonschema import Draft202012Validator
from make_answer import make_profile

from sharpv_cli.errors import UsageError
from sharpv_cli.report.exports import Exports
from sharpv_cli.report.profile_export import profile_exports
from sharpv_cli.types import ClipProfile

ABOUT = {"name": "tiny", "source": "shipped", "settings": {"memory": {"m": 0.2}}}
SCHEMA = Path(__file__).parent.parent / "docs" / "schema" / "sharpv.profile.1.json"
SECONDS = (
    "load_sec decode_sec preprocess_sec vision_sec prune_sec prefill_sec ttft_sec tpot_sec total_sec decode_wait_sec"
).split()


def exports(*, chart: object = None, **targets: object) -> Exports[ClipProfile]:
    charts = [] if chart is None else [str(chart)]
    given = {key: str(value) for key, value in targets.items()}
    return profile_exports(**given, charts=charts, about=ABOUT)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def chart(tmp_path: Path, suffix: str, profile: ClipProfile) -> bytes:
    path = tmp_path / f"chart{suffix}"
    exports(chart=path).write(profile)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["json", "markdown", "csv", "chart"])
def test_targets_are_refused_before_any_run(tmp_path: Path, kind: str) -> None:
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        exports(**{kind: tmp_path / "folder.svg"})
    with pytest.raises(UsageError, match="its folder is missing"):
        exports(**{kind: tmp_path / "nowhere" / "a.svg"})
    assert names(tmp_path) == ["folder.svg"]


def test_making_exports_leaves_nothing_behind(tmp_path: Path) -> None:
    made = exports(json=tmp_path / "a.json", chart=tmp_path / "a.png")
    assert names(tmp_path) == []
    assert made.written == (("JSON", tmp_path / "a.json"), ("chart", tmp_path / "a.png"))


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(UsageError, match="no regular file"):
            exports(json=target)
    assert not Path(os.devnull).is_file()


def test_unknown_chart_suffixes() -> None:
    for name in ("chart.pdf", "-"):
        with pytest.raises(UsageError, match="cannot write a chart to") as caught:
            exports(chart=name)
        assert caught.value.hint == "end the name in one of .html, .svg, .png, .md, .txt"


def test_stdout_is_for_one_export(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two exports to stdout"):
        exports(json="-", csv="-")
    assert exports(json=tmp_path / "a.json").stdout(make_profile(2)) is None


def test_two_exports_to_one_file(tmp_path: Path) -> None:
    (tmp_path / "b.json").symlink_to(tmp_path / "a.json")
    with pytest.raises(UsageError, match=r"b\.json is where another export goes"):
        exports(json=tmp_path / "a.json", csv=tmp_path / "b.json")


def test_the_video_is_not_overwritten(tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"film")
    (tmp_path / "link").symlink_to(video)
    for target in (video, tmp_path / "link", tmp_path / "x" / ".." / "clip.mp4"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(UsageError, match="is the video itself"):
            exports(csv=target, video=video)
    assert video.read_bytes() == b"film"


def test_stdout_gets_what_the_file_would(tmp_path: Path) -> None:
    profile = make_profile(2, sweep=(("w", 0.5),))
    for kind in ("json", "markdown", "csv"):
        path = tmp_path / kind
        exports(**{kind: path}).write(profile)
        made = exports(**{kind: "-"})
        made.write(profile)
        assert made.written == ()
        text = made.stdout(profile)
        assert text is not None
        assert text.endswith("\n")
        assert text.encode() == path.read_bytes()
    assert names(tmp_path) == ["csv", "json", "markdown"]


def test_each_write_replaces_the_one_before(tmp_path: Path) -> None:
    made = exports(
        json=tmp_path / "a.json", csv=tmp_path / "a.csv", markdown=tmp_path / "a.md", chart=tmp_path / "a.svg"
    )
    stages = [
        make_profile(2, methods=("dense",), runs=0, rates=None),
        make_profile(2, runs=(2, 1, 1, 1)),
        make_profile(2, runs=(2, 2, 2, 1), interrupted=True),
    ]
    validator = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    for profile in stages:
        made.write(profile)
        document = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
        validator.validate(document)
        runs = sum(len(method.runs) for method in profile.methods)
        assert sum(len(method["runs"]) for method in document["methods"].values()) == runs
        assert len((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()) == 1 + runs
        assert document["interrupted"] == profile.interrupted
        ET.parse(tmp_path / "a.svg")
        assert names(tmp_path) == ["a.csv", "a.json", "a.md", "a.svg"]


def test_a_full_disk_keeps_what_was_written_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = exports(json=tmp_path / "a.json")
    made.write(make_profile(2, runs=1))
    before = (tmp_path / "a.json").read_bytes()

    def full_disk(file: FileIO, content: bytes) -> None:
        file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sharpv_cli.files.write_all", full_disk)
    with pytest.raises(UsageError, match="No space left on device"):
        made.write(make_profile(2, runs=2))
    assert (tmp_path / "a.json").read_bytes() == before
    assert names(tmp_path) == ["a.json"]


def test_ctrl_c_while_writing_keeps_what_was_written_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = exports(csv=tmp_path / "a.csv")
    made.write(make_profile(2, runs=1))
    before = (tmp_path / "a.csv").read_bytes()

    def interrupted(file: FileIO, content: bytes) -> None:
        file.write(content[:10])
        raise KeyboardInterrupt

    monkeypatch.setattr("sharpv_cli.files.write_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made.write(make_profile(2, runs=2))
    assert (tmp_path / "a.csv").read_bytes() == before
    assert names(tmp_path) == ["a.csv"]


def test_csv_has_a_row_a_run_and_every_stage() -> None:
    profile = make_profile(2, runs=(3, 3, 2, 2), sweep=(("w", 0.5), ("k", 8.0)), engines=("stock", "fast"))
    rows = list(csv.DictReader(io.StringIO(exports(csv="-").stdout(profile) or "")))
    assert list(rows[0]) == ["method", "sweep_key", "sweep_value", "run", *SECONDS, "engine"]
    assert [(row["method"], row["run"]) for row in rows[:10]] == [
        *(("dense", run) for run in "123"), *(("visual", run) for run in "123"),
        *(("memory", run) for run in "12"), *(("both", run) for run in "12"),
    ]  # fmt: skip
    assert [(row["sweep_key"], row["sweep_value"], row["run"]) for row in rows[9:14]] == [
        ("", "", "2"), ("w", "0.5", "1"), ("w", "0.5", "2"), ("k", "8", "1"), ("k", "8", "2"),
    ]  # fmt: skip
    lanes = [(row["engine"], row["method"], row["run"]) for row in rows[14:]]
    assert lanes == [
        (engine, method, f"{run}")
        for engine, method in (("stock", "dense"), ("fast", "dense"), ("fast", "both"))
        for run in range(1, 6)
    ]
    assert {row["engine"] for row in rows[:14]} == {rows[14]["prefill_sec"]} == {""}
    for key in SECONDS:
        assert float(rows[1][key]) == getattr(profile.methods[0].runs[1], key), key


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"runs": 0, "rates": None},
        {"methods": ("dense",), "interrupted": True},
        {"methods": (), "runs": (), "rates": None, "interrupted": True},
        {"frames": 600},
    ],
)
@pytest.mark.parametrize("suffix", [".html", ".md", ".txt"])
def test_charts_of_whatever_is_there(tmp_path: Path, suffix: str, changes: dict) -> None:
    content = chart(tmp_path, suffix, make_profile(**{"frames": 8, "sweep": (), **changes}))
    assert b"Describe the video." in content


def test_txt_is_the_chart_at_80_columns(tmp_path: Path) -> None:
    golden = (GOLDEN / "profile_80.txt").read_text(encoding="utf-8")
    assert chart(tmp_path, ".txt", golden_profile()).decode() == golden


def test_md_has_the_figures_of_the_chart(tmp_path: Path) -> None:
    text = chart(tmp_path, ".md", make_profile(8, sweep=(("w", 0.5),))).decode()
    for line in (
        "|  | dense | visual | memory | sharpv |",
        "| visual retention | 100.0% | 21.9% | 100.0% | 21.9% |",
        "| KV retention | 100.0% | 21.9% | 60.0% | 13.1% |",
        "| prefill | 184 ms (180–187) | 64.3 ms (63.0–65.5) 0.35x | 180 ms (176–183) 0.98x "
        "| 66.1 ms (64.8–67.4) 0.36x |",
        "**Answer** (visual): same as dense",
        "| 0:01.5 | 24/196 | 12.2% |",
        "| 4 | 0.18 | discarded | 60.0 KiB |",
        "| all |  |  | 2.6 MiB |",
        "| device | `cpu, float32` |",
    ):
        assert f"\n{line}\n" in text, line
    assert "`a red circle moves left.` |\n" in text


def test_md_tables_keep_their_columns(tmp_path: Path) -> None:
    profile = make_profile(2, question="a|b `c`\n# d", sweep=(("w", 0.5),))
    for block in chart(tmp_path, ".md", profile).decode().split("\n\n"):
        rows = [re.sub(r"\\\|", "", line).count("|") for line in block.splitlines() if line.startswith("|")]
        assert len(set(rows)) <= 1, block
