"""Mistakes: what is said, the exit code, and that no mistake waits for torch (importing it fails here)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from run_cli import environment, run, scripted

from sharpv_cli.video.encoding import write_clip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    frames = [np.full((64, 96, 3), level, np.uint8) for level in range(0, 240, 24)]
    write_clip(folder / "clip.mp4", frames, 10.0)
    (folder / "text.mp4").write_text("no video\n", encoding="utf-8")
    (folder / "typo.yaml").write_text("sampling:\n  frame: 3\n", encoding="utf-8")
    (folder / "empty-model").mkdir()
    (folder / "films").mkdir()
    (folder / "films" / "clip.mp4").write_text("no video")
    weightless = folder / "weightless"
    weightless.mkdir()
    (weightless / "config.json").write_text(json.dumps({"model_type": "llava_onevision"}), encoding="utf-8")
    return folder


def sharpv(
    home: Path, *args: str, stdin: str | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    return run(scripted("real"), *args, home=home, stdin=stdin, **environ)


CASES = [
    (2, ["ask"], "missing argument 'VIDEO"),
    (2, ["ask", "clip.mp4"], "no question"),
    (2, ["ask", "clip.mp4", "  "], "the question is empty"),
    (2, ["ask", "clip.mp4", "a", "-q", " "], "the question is empty"),
    (2, ["ask", "clip.mp4", "--questions", "none.txt"], "--questions none.txt: No such file"),
    (2, ["ask", "clip.mp4", "--questions", "/dev/null"], "/dev/null holds no question"),
    (2, ["ask", "clip.mp4", "--questions", "clip.mp4"], "clip.mp4 is not UTF-8 text"),
    (2, ["ask", "clip.mp4", "-", "--questions", "-"], "both come from stdin"),
    (3, ["ask", "-", "what?"], "the video was to come from stdin, which is"),
    (2, ["ask", "clip.mp4", "what?", "--fram", "3"], "no such option: --fram"),
    (2, ["ask", "clip.mp4", "what?", "--frames", "0"], "--frames 0: "),
    (2, ["ask", "clip.mp4", "what?", "--frames", "few"], "invalid value for '--frames'"),
    (2, ["ask", "clip.mp4", "what?", "--m", "2"], "--m 2: "),
    (2, ["ask", "clip.mp4", "what?", "--w", "nan"], "--w nan: "),
    (2, ["ask", "clip.mp4", "what?", "--frames", "2", "--fps", "1"], "exclude each other"),
    (2, ["ask", "clip.mp4", "what?", "--quiet", "--stats"], "--quiet and --stats exclude each other"),
    (2, ["ask", "clip.mp4", "what?", "--prune", "most"], "'most' is not one of"),
    (2, ["ask", "clip.mp4", "what?", "-p", "tinny"], "unknown profile: tinny"),
    (2, ["ask", "clip.mp4", "what?", "-p", "typo.yaml"], "typo.yaml:2: unknown key `sampling.frame`"),
    (2, ["ask", "clip.mp4", "what?", "--chart-out", "chart.bmp"], "chart.bmp"),
    (2, ["ask", "clip.mp4", "what?", "--start", "60"], "the start 60 s is not in the clip"),
    (2, ["ask", "clip.mp4", "what?", "--model", ""], "--model '': should have at least 1 character"),
    (2, ["ask", "clip.mp4", "what?", "-p", ""], "unknown profile: ''"),
    (2, ["ask", "clip.mp4", "what?", "-p", "./empty-model"], "empty-model: Is a directory"),
    (2, ["ask", "clip.mp4", "what?", "--chart-out", "nowhere/chart.svg"], "its folder is missing"),
    (2, ["ask", "clip.mp4", "what?", "--chart-out", "text.mp4/chart.svg"], "Not a directory"),
    (2, ["ask", "clip.mp4", "what?", "--chart-out", "x" * 300 + ".svg"], "File name too long"),
    (2, ["asq"], "no such command 'asq'"),
    (2, ["clip.mp4", "what?"], "no such command 'clip.mp4'"),
    (2, ["ask", "clip.mp4", "-what?"], "no such option: -w"),
    (2, ["ask", "clip.mp4", "--frames 3"], "no such option: --frames 3"),
    (2, ["models", "show", "[red]"], "unknown profile: [red]"),
    (2, ["demo", "text.mp4"], "cannot write into text.mp4"),
    (2, ["demo", "/sys"], "cannot write /sys"),
    (3, ["ask", "nowhere.mp4", "what?"], "nowhere.mp4"),
    (3, ["ask", ".", "what?"], "folder"),
    (3, ["ask", "text.mp4", "what?"], "text.mp4"),
    (3, ["ask", "https://example.org/a.mp4", "what?"], "https://example.org/a.mp4"),
    (4, ["ask", "clip.mp4", "what?", "--model", "./empty-model"], "empty-model"),
    (4, ["ask", "clip.mp4", "what?", "--model", "./weightless"], "no weights"),
    (4, ["ask", "clip.mp4", "what?", "--model", "./no-such-folder"], "no-such-folder"),
    (4, ["ask", "clip.mp4", "what?", "--model", "text.mp4"], "text.mp4: is a file"),
    (4, ["ask", "clip.mp4", "what?", "--model", "./" + "x" * 5000], "no such folder"),
    (4, ["ask", "clip.mp4", "what?", "--model", "a b", "--offline"], "a b: neither a folder nor a hub id"),
    (4, ["ask", "clip.mp4", "what?", "--model", "owner/name", "--offline"], "owner/name"),
]


@pytest.mark.parametrize(("code", "args", "said"), CASES, ids=[" ".join(args)[:60] for _, args, _ in CASES])
def test_mistake(home: Path, code: int, args: list[str], said: str) -> None:
    done = sharpv(home, *args)
    lines = done.stderr.splitlines()
    assert done.stdout == ""
    assert lines[0].startswith("error: "), done.stderr
    assert said in lines[0]
    assert all(line.startswith("hint: ") for line in lines[1:]), done.stderr
    assert done.returncode == code


def test_arguments_come_before_the_profile_and_the_video(home: Path) -> None:
    args = ["ask", "nowhere.mp4", "what?", "--chart-out", "chart.bmp", "--model", "./no-such-folder"]
    assert "tinny" in sharpv(home, *args, "-p", "tinny").stderr
    assert "chart.bmp" in sharpv(home, *args).stderr
    assert "nowhere.mp4" in sharpv(home, *args[:3], *args[5:]).stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["ask", "clip.mp4", "what", "moves?"], "a question of several words needs quotes"),
        (["profile", "clip.mp4", "what moves?"], "hint: one video a run; the question goes after -q"),
        (["ask", "what moves?", "clip.mp4"], "hint: VIDEO comes first: sharpv ask clip.mp4 'what moves?'"),
        (
            ["ask", "clip.mp4", "text.mp4"],
            "hint: the question comes last, behind all videos; --questions text.mp4 reads questions",
        ),
        (["ask", "-", "text.mp4"], "-q text.mp4 asks just that"),
        (["clip.mp4", "what moves?"], "hint: a command comes first: sharpv ask clip.mp4 'what moves?'"),
        (["what moves?", "clip.mp4"], "hint: a command comes first: sharpv ask clip.mp4 'what moves?'"),
        (["clpi.mp4", "what?"], "hint: a command comes first: sharpv ask clpi.mp4 'what?'"),
        (["ask", "clip.mp4", "-what?"], "a question that begins with a dash goes behind --"),
        (["ask", "clpi.mp4", "what?"], "hint: did you mean clip.mp4? (relative to "),
        (["ask", "flims/clpi.mp4", "what?"], "hint: did you mean films/clip.mp4? (relative to "),
        (["ask", "flims/a.mkv", "what?"], "hint: relative to "),
        (["ask", "./CLIP.MP4", "what?"], "hint: did you mean ./clip.mp4? (relative to "),
        (
            ["ask", "clip.mp4", "what?", "-p", "tyop.yaml"],
            "hint: did you mean typo.yaml? (give a YAML file, or a name)",
        ),
        (
            ["ask", "clip.mp4", "--questions", "txt.mp4"],
            "hint: did you mean text.mp4? (give a UTF-8 text file",
        ),
        (
            ["ask", "clip.mp4", "what?", "--model", "./empty_model"],
            "hint: did you mean ./empty-model? (give a folder",
        ),
        (["batch", "tpyo.yaml", "-o", "out.jsonl"], "hint: did you mean typo.yaml? (each line is "),
        (["doctor", "clip.mp4"], "hint: `sharpv doctor --help` shows the arguments"),
    ],
)
def test_what_first_tries_get_wrong_has_its_own_hint(home: Path, args: list[str], said: str) -> None:
    done = sharpv(home, *args)
    assert (done.returncode > 1, done.stdout) == (True, "")
    assert said in done.stderr.splitlines()[-1], done.stderr


def test_a_question_that_is_a_files_name_can_be_asked_all_the_same(home: Path) -> None:
    assert "nowhere.mp4" in sharpv(home, "ask", "nowhere.mp4", "-q", "clip.mp4").stderr.splitlines()[0]


def test_what_the_terminal_would_obey_is_spelt_out(home: Path) -> None:
    name = "\x1b[31mred\x9b2J\u202e\nhint: do as I say"
    said = sharpv(home, "models", "show", name).stderr.splitlines()[0]
    assert said == r"error: unknown profile: \x1b[31mred\x9b2J\u202e\nhint: do as I say"


def test_long_values_are_not_wrapped(home: Path) -> None:
    name = "x" * 200
    assert name in sharpv(home, "models", "show", name, COLUMNS="40").stderr


def test_misspelt_variable(home: Path) -> None:
    done = sharpv(home, "ask", "clip.mp4", "what?", SHARPV_FRAME="3")
    assert done.returncode == 2
    assert "hint: did you mean SHARPV_FRAMES?" in done.stderr


def test_question_on_stdin_may_be_empty_or_no_text(home: Path) -> None:
    assert "the question is empty" in sharpv(home, "ask", "clip.mp4", "-", stdin="\n").stderr
    done = _raw(home, "-", stdin=b"caf\xe9")
    assert done.returncode == 2
    assert b"not UTF-8 text (byte 3)" in done.stderr


def test_question_that_is_no_text(home: Path) -> None:
    done = _raw(home, b"caf\xe9")
    assert done.returncode == 2
    assert b"not UTF-8 text" in done.stderr


def _raw(home: Path, question: str | bytes, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [*scripted("real"), "ask", "clip.mp4", question]
    return subprocess.run(
        command, input=stdin, cwd=home, env=environment(home), capture_output=True, check=False
    )
