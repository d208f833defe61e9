"""The run over published benchmarks, on small copies of their layouts and with the built-in model."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest
from datasets_on_disk import lines, mvbench_entry, videomme_entry, write

from sharpv_cli.benchmarks import real
from sharpv_cli.commands.eval import running
from sharpv_cli.session import Session, open_session
from sharpv_cli.settings import resolve
from sharpv_cli.shapes.demo import DEMO_FOLDER
from sharpv_cli.types import Evaluation, Interval, MethodScore


@pytest.fixture(autouse=True)
def _loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is the same for every benchmark, and takes longest."""
    monkeypatch.setattr(running, "open_session", lambda settings: _session())


@cache
def _session() -> Session:
    return open_session(resolve({}, {}).settings)


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """MVBench, Video-MME with subtitles, and MotionBench with one clip each."""
    entry = mvbench_entry(video="a.mp4")
    write(tmp_path / "mvbench/json/action_antonym.json", [entry])
    write(tmp_path / "videomme/videomme.jsonl", lines(videomme_entry(videoID="a")))
    write(tmp_path / "videomme/subtitle/a.srt", b"1\n00:00:00,000 --> 00:00:01,000\nHello.\n")
    qa = {"uid": "1", "question": "Which way?\nA. left\nB. right", "answer": "A"}
    row = {"video_path": "a.mp4", "question_type": "Camera Motion", "qa": [qa]}
    write(tmp_path / "motion/video_info.meta.jsonl", lines(row))
    for folder in ("mvbench/video/ssv2_video", "videomme/data", "motion/self-collected"):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(DEMO_FOLDER / "moving.mp4", tmp_path / folder / "a.mp4")
    return tmp_path


def test_all_of_them_and_a_rerun_asks_nothing(
    copies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "real"
    args = ["--profile", "tiny", "-o", str(out), "--mvbench", str(copies / "mvbench")]
    args += ["--videomme", str(copies / "videomme"), "--motionbench", str(copies / "motion")]
    real.main(args)
    printed = capsys.readouterr().out
    assert (out / "table.md").read_text() == printed
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()[2:]]
    assert [row[0] for row in cells[::5]] == ["mvbench", "videomme", "videomme-subtitles", "motionbench"]
    assert [row[1].strip("`") for row in cells[:5]] == real.METHODS.split(",")
    assert all(row[8] == "1" and not row[9] for row in cells), "the paper's model is another one"
    before = {file.name: file.read_bytes() for file in out.glob("*.jsonl")}
    assert len(before) == 4
    real.main(args)
    assert {file.name: file.read_bytes() for file in out.glob("*.jsonl")} == before
    assert capsys.readouterr().out == printed


def test_a_copy_that_cannot_be_read_costs_no_other_one(
    copies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--profile", "tiny", "-o", str(tmp_path / "real"), "--methods", "dense,sharpv"]
    with pytest.raises(SystemExit) as stop:
        real.main([*args, "--mvbench", str(tmp_path / "gone"), "--motionbench", str(copies / "motion")])
    assert stop.value.code == 6
    told = capsys.readouterr()
    assert "mvbench: there is no file or folder" in told.err
    assert "| motionbench | `sharpv` |" in told.out


def test_the_papers_figures_stand_beside_its_own_methods() -> None:
    score = MethodScore(
        "sharpv", 0.5, Interval(0.4, 0.6), 0.1, Interval(0.0, 0.2), 0.12, 0.06, None, 1.0, "fast", 0.1, 0.2, None,
        (), (), (),
    )  # fmt: skip
    found = Evaluation("mvbench", "m", "cuda", 4000, 4000, 900, "sharpv", "dense", (score,), ())
    [row] = real.rows("mvbench", found, with_paper=True)
    assert row == (
        "mvbench",
        "`sharpv`",
        "50.0",
        "40.0–60.0",
        "+10.0",
        "+0.0 to +20.0",
        "12.0",
        "6.0",
        "4000",
        "58.2",
    )
    [row] = real.rows("motionbench", found, with_paper=True)
    assert row[-1] == ""
