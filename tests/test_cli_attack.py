"""What a careless or hostile user met when trying to break the command line, each once."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from run_cli import environment, run, scripted

from sharpv_cli.commands.inputs import keep_inputs
from sharpv_cli.errors import UsageError
from sharpv_cli.settings import resolve


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
    assert f"error: {args[-1]} is read, so it cannot be written as well" in done.stderr
    assert (tmp_path / "in.md").read_text("utf-8") == "what moves?\n"


@pytest.mark.parametrize(
    "target", ["model/config.json", "model/link.json", "clip.mp4", "hard.mp4", "q.txt", "mine.yaml"]
)
def test_no_output_takes_the_place_of_what_is_read_under_another_name(tmp_path: Path, target: str) -> None:
    """Of the checkpoint, the profile, and what comes through stdin, `< clip.mp4`."""
    (tmp_path / "model").mkdir()
    for name in ("model/config.json", "clip.mp4", "q.txt"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    (tmp_path / "mine.yaml").write_text("sampling: {frames: 4}\n", encoding="utf-8")
    (tmp_path / "model" / "link.json").symlink_to("config.json")
    (tmp_path / "hard.mp4").hardlink_to(tmp_path / "clip.mp4")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    args = ["profile", "-", "-q", "what?", "--model", "./model", "-p", "./mine.yaml", "--export-json", target]
    stdin = tmp_path / ("q.txt" if target == "q.txt" else "clip.mp4")
    with stdin.open("rb") as file:
        done = subprocess.run(
            [*scripted("real"), *args],
            stdin=file, env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert f"error: {target} is read, so it cannot be written as well" in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_results_and_charts_of_before_in_the_folder_that_is_read_are_no_inputs(tmp_path: Path) -> None:
    for name in ("clip.mp4", "config.json", "r.jsonl", "chart.svg", "report.json", "notes.md"):
        (tmp_path / name).touch()
    resolved = resolve({"model": str(tmp_path)}, {})
    outputs = [tmp_path / name for name in ("chart.svg", "report.json", "notes.md")]
    keep_inputs([str(tmp_path)], outputs, resolved, results=tmp_path / "r.jsonl")
    for name in ("clip.mp4", "config.json"):
        with pytest.raises(UsageError, match="is read, so"):
            keep_inputs([str(tmp_path)], [tmp_path / name], resolved)


@pytest.mark.parametrize("way", ["argument", "option", "stdin", "file"])
def test_a_question_without_end_is_refused_with_its_length(tmp_path: Path, way: str) -> None:
    words = "what moves? " * (
        9_000 if way in ("argument", "option") else 90_000
    )  # an argument ends at 128 KiB
    (tmp_path / "q.txt").write_text(f"first?\n{words}\n", encoding="utf-8")
    given = {"argument": [words], "option": ["-q", words], "stdin": ["-"], "file": ["--questions", "q.txt"]}
    done = run(scripted("real"), "ask", "nope.mp4", *given[way], home=tmp_path, stdin=words)
    if way in ("argument", "option"):  # and is not too long
        assert (done.returncode, "no such file: nope.mp4" in done.stderr) == (3, True)
        return
    assert done.returncode == 2
    what = "question 2" if way == "file" else "the question"
    assert f"error: {what} has 1079999 bytes, and 262144 are the most\n" in done.stderr


@pytest.mark.parametrize(
    ("place", "special"),
    [
        *product(("-p", "--questions", "config"), ("/dev/zero", "/dev/full", ".", "/dev/null")),
        ("config", "fifo"),  # it takes some seconds to be given up; tests/test_smallfile.py has its kinds
    ],
)
def test_special_files_are_refused_or_read_with_a_bound(tmp_path: Path, place: str, special: str) -> None:
    if special == "fifo":
        os.mkfifo(tmp_path / "fifo.yaml")
        special = str(tmp_path / "fifo.yaml")
    args = ["ask", "nope.mp4", *([] if place == "--questions" else ["what?"])]
    if place == "config":
        (tmp_path / ".config" / "sharpv").mkdir(parents=True)
        (tmp_path / ".config" / "sharpv" / "config.yaml").symlink_to(special)
    else:
        args += [place, special]
    done = run(scripted("real"), *args, home=tmp_path)
    if special == "/dev/null" and place != "--questions":  # an empty file
        assert done.returncode == 3
        return
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert "unexpected" not in done.stderr


def test_a_profile_and_questions_may_come_out_of_pipes(tmp_path: Path) -> None:
    """As in `-p <(command)`: what is on its way is waited for."""
    shell = 'sleep 0.3; exec "$@" ask nope.mp4 --questions <(sleep 0.3; echo what moves?) -p <(echo "visual: {w: 2}")'
    done = run(["bash", "-c", shell, "-"], *scripted("real"), home=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "no such file: nope.mp4" in done.stderr
