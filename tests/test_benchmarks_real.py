"""The run over published benchmarks, on small copies of their layouts and with the built-in model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from builtin_model import load_once
from datasets_on_disk import lines, mvbench_entry, videomme_entry, write

from sharpv_cli.benchmarks import real
from sharpv_cli.errors import ModelError
from sharpv_cli.models import checkpoint, hub
from sharpv_cli.settings import ModelSettings
from sharpv_cli.shapes.demo import DEMO_FOLDER
from sharpv_cli.types import Evaluation, Interval, MethodScore


@pytest.fixture(autouse=True)
def _loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is the same for every benchmark, and takes longest."""
    load_once(monkeypatch)


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


def exit_code(arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as stop:
        real.main(arguments)
    return stop.value.code


def test_all_of_them_and_a_rerun_asks_nothing(
    copies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "real"
    args = ["--profile", "tiny", "-o", str(out), "--mvbench", str(copies / "mvbench")]
    args += ["--videomme", str(copies / "videomme"), "--motionbench", str(copies / "motion")]
    assert exit_code(args) == 0
    printed = capsys.readouterr().out
    assert (out / "table.md").read_text() == printed
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()[2:]]
    assert [row[0] for row in cells[::5]] == ["mvbench", "videomme", "videomme-subtitles", "motionbench"]
    assert [row[1].strip("`") for row in cells[:5]] == real.METHODS.split(",")
    assert all(row[8] == "1" and not row[9] for row in cells), "the paper's model is another one"
    before = {file.name: file.read_bytes() for file in out.glob("*.jsonl")}
    assert len(before) == 4
    assert exit_code(args) == 0
    assert {file.name: file.read_bytes() for file in out.glob("*.jsonl")} == before
    assert capsys.readouterr().out == printed


def test_a_copy_that_cannot_be_read_costs_no_other_one(
    copies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--profile", "tiny", "-o", str(tmp_path / "real"), "--methods", "dense,sharpv"]
    assert (
        exit_code([*args, "--mvbench", str(tmp_path / "gone"), "--motionbench", str(copies / "motion")]) == 6
    )
    told = capsys.readouterr()
    assert "mvbench: there is no file or folder" in told.err
    assert "hf download OpenGVLab/MVBench" in told.err, "and where to get it"
    assert "| motionbench | `sharpv` |" in told.out


def test_what_is_wrong_is_found_before_any_weights_are_fetched(
    copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A method that there is not, another benchmark's folder, archives that were not unpacked, and no folder at all."""
    monkeypatch.setattr(hub, "plan", lambda model: pytest.fail("asked the hub"))
    (copies / "motion" / "self-collected" / "a.mp4").unlink()
    args = [
        "--mvbench",
        str(copies / "videomme"),
        "--motionbench",
        str(copies / "motion"),
        "-o",
        str(tmp_path / "real"),
    ]
    assert exit_code([*args, "--methods", "dense,sharp"]) == 2
    assert "sharpv" in capsys.readouterr().err, "the name that was meant"
    assert exit_code([*args, "--limit", "0"]) == 2
    assert "--limit 0" in capsys.readouterr().err
    assert exit_code(args) == 2
    told = capsys.readouterr().err
    assert "mvbench: " in told
    assert "motionbench: 1 of 1 videos are missing" in told
    assert exit_code(["-o", str(tmp_path / "real")]) == 2
    assert "--mvbench, --videomme, --motionbench" in capsys.readouterr().err
    assert not (tmp_path / "real").exists()


@pytest.mark.parametrize(
    ("refusal", "code", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (ModelError("the hub is out of reach", hint="check the network"), 4, "the hub is out of reach"),
        (ModelError("the repository is gated", hint="ask for access"), 4, "ask for access"),
        (hub.Plan("llava", "c0ffee", 9, 20, 9, 1 << 60, 1 << 30), 5, "to download, but only"),
    ],
)
def test_what_the_weights_lack_is_said_once_and_nothing_is_asked(
    refusal: BaseException | hub.Plan,
    code: int,
    said: str,
    copies: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A hub that is out of reach or refuses, and a disk that is too small."""

    def plan(model: ModelSettings) -> hub.Plan:
        if isinstance(refusal, BaseException):
            raise refusal
        return refusal

    monkeypatch.setattr(hub, "plan", plan)
    monkeypatch.setattr(checkpoint, "locate", lambda model, *, offline: None)
    args = ["--mvbench", str(copies / "mvbench"), "--motionbench", str(copies / "motion")]
    assert exit_code([*args, "-o", str(tmp_path / "real")]) == code
    assert not said or capsys.readouterr().err.count(said) == 1
    assert not (tmp_path / "real").exists()


def test_one_broken_clip_is_named_and_asked_again_when_it_is_mended(
    copies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = copies / "motion", tmp_path / "real"
    rows = [
        {
            "video_path": f"{name}.mp4",
            "question_type": "Camera Motion",
            "qa": [{"uid": name, "question": "Which way?\nA. left\nB. right", "answer": "A"}],
        }
        for name in ("a", "broken")
    ]
    write(folder / "video_info.meta.jsonl", lines(*rows))
    broken = write(folder / "self-collected" / "broken.mp4", b"none")
    args = ["--profile", "tiny", "--methods", "dense,sharpv", "--motionbench", str(folder), "-o", str(out)]
    assert exit_code(args) == 6
    told = capsys.readouterr()
    assert "broken.mp4" in told.err
    assert all(line.split("|")[-3].strip() == "1" for line in told.out.splitlines()[2:])
    before = (out / "motionbench.jsonl").read_bytes()
    shutil.copy(DEMO_FOLDER / "moving.mp4", broken)
    assert exit_code(args) == 0
    assert (out / "motionbench.jsonl").read_bytes().startswith(before), "what was answered stays"
    assert all(line.split("|")[-3].strip() == "2" for line in capsys.readouterr().out.splitlines()[2:])


def test_without_subtitles_it_is_not_asked_with_them(
    copies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(copies / "videomme" / "subtitle")
    args = ["--profile", "tiny", "--methods", "dense,sharpv", "--videomme", str(copies / "videomme")]
    assert exit_code([*args, "-o", str(tmp_path / "real")]) == 0
    told = capsys.readouterr()
    assert "no subtitle/*.srt" in told.err
    assert "videomme-subtitles" not in told.out


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
