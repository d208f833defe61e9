"""What a careless or hostile user met when trying to break the command line, each once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from run_cli import run, scripted


@pytest.mark.parametrize("columns", ["0", "\N{SUPERSCRIPT TWO}", "-5", "wide"])
def test_a_width_that_is_none_hides_no_error(tmp_path: Path, columns: str) -> None:
    done = run(scripted("real"), "ask", "nope.mp4", "what?", home=tmp_path, COLUMNS=columns)
    assert done.returncode == 3
    assert "error: no such file: nope.mp4\n" in done.stderr


@pytest.mark.parametrize("source", ["-", "/dev/zero"])
def test_questions_without_end_are_not_read_to_their_end(tmp_path: Path, source: str) -> None:
    endless = "what moves?\n" * 1_500_000
    done = run(scripted("real"), "ask", "nope.mp4", "--questions", source, home=tmp_path, stdin=endless)
    assert done.returncode == 2
    assert "is over 16 MiB" in done.stderr


@pytest.mark.parametrize("command", ["ask", "probe"])
def test_a_video_without_a_name(tmp_path: Path, command: str) -> None:
    """As in `sharpv ask "$CLIP" ...` where the variable is unset."""
    question = ["what?"] if command == "ask" else []
    done = run(scripted("real"), command, "", *question, home=tmp_path)
    assert done.returncode == 3
    assert "error: the video has no name\n" in done.stderr


def test_too_little_memory_for_the_libraries_is_no_bug(tmp_path: Path) -> None:
    code = (
        "import sys; from sharpv_cli import app\n"
        "def fail(): raise ImportError('libtorch_cpu.so: failed to map segment from shared object')\n"
        "app.app.registered_commands[0].callback = fail; sys.argv[1:] = ['ask']; app.run()"
    )
    done = run([sys.executable, "-c", code], home=tmp_path)
    assert done.returncode == 5, done.stderr
    assert "error: not enough memory" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["ask", "in.md", "what?", "--chart-out", "./in.md"],
        ["ask", "nope.mp4", "--questions", "in.md", "--chart-out", "in.md"],
        ["profile", "in.md", "--export-csv", "in.md"],
        ["profile", "in.md", "--export-json", "link"],
    ],
)
def test_what_is_read_is_not_overwritten(tmp_path: Path, args: list[str]) -> None:
    (tmp_path / "in.md").write_text("what moves?\n", encoding="utf-8")
    (tmp_path / "link").symlink_to("in.md")
    done = run(scripted("real"), *args, home=tmp_path)
    assert done.returncode == 2
    assert f"error: {args[-1].removeprefix('./')} is read, so it is not written as well" in done.stderr
    assert (tmp_path / "in.md").read_text("utf-8") == "what moves?\n"
