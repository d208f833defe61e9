"""What lands on stdout and stderr, in every mode, and how a run ends: scripted pipeline, real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from run_cli import TEXT, browser, environment, run, scripted
from terminals import on_terminal
from waiting import LONG

from sharpv_cli import terminal

NOTE = "note: the built-in demo model answers"


def ask(home: Path, *args: str, scenario: str = "answer", **kwargs: str) -> subprocess.CompletedProcess[str]:
    return run(scripted(scenario), "ask", "clip.mp4", *args, home=home, **kwargs)


@pytest.mark.parametrize(
    "mode", [[], ["--stream"], ["--no-stream"], ["--quiet"], ["--stats"], ["--show-settings"]]
)
def test_stdout_is_the_answer_and_one_newline(home: Path, mode: list[str]) -> None:
    done = ask(home, "what?", *mode)
    assert (done.returncode, done.stdout) == (0, f"{TEXT}\n")


def test_piped_stderr_has_the_note_and_warnings_but_no_chart(home: Path) -> None:
    lines = ask(home, "what?").stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(NOTE)
    assert lines[1] == "warning: only 7 of 8 frames were found"


def test_quiet_is_silent(home: Path) -> None:
    assert ask(home, "what?", "--quiet").stderr == ""


def test_stats_draws_the_chart_on_stderr(home: Path) -> None:
    assert "TTFT" in ask(home, "what?", "--stats").stderr


def test_json_is_one_document_with_the_profile(home: Path) -> None:
    done = ask(home, "-q", "what?", "--json", "--frames", "5", "--prune", "off")
    document = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert (document["question"], document["answer"]) == ("what?", TEXT)
    assert (document["profile"]["name"], document["profile"]["source"]) == ("tiny", "shipped")
    settings = document["profile"]["settings"]
    assert (settings["sampling"]["frames"], settings["visual"]["mode"]) == (5, "off")


def test_real_model_gets_no_demo_note(home: Path) -> None:
    assert NOTE not in ask(home, "what?", "--model", "owner/name").stderr


def test_show_settings_names_origins_on_stderr(home: Path) -> None:
    done = ask(home, "what?", "--show-settings", "--w", "2", SHARPV_K="3")
    assert re.search(r"w: 2\.0 +# flag --w", done.stderr)
    assert re.search(r"k: 3\.0 +# SHARPV_K", done.stderr)
    assert re.search(r"frames: 8 +# profile tiny", done.stderr)
    assert re.search(r"device: auto +# default", done.stderr)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_question_from_stdin(home: Path, mark: str) -> None:
    done = ask(home, "-", "--json", stdin=f"{mark}what\nmoves?\n")
    assert json.loads(done.stdout)["question"] == "what\nmoves?"


def test_chart_out(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "chart.txt"
    done = ask(home, "what?", "--chart-out", str(target))
    assert "TTFT" in target.read_text(encoding="utf-8")
    assert f"chart written to {target}" in done.stderr


def test_open_shows_a_page_of_its_own(home: Path, tmp_path: Path) -> None:
    done = ask(home, "what?", "--open", "--quiet", BROWSER=browser(tmp_path), TMPDIR=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{TEXT}\n", "")
    (page,) = tmp_path.glob("sharpv-*/report.html")
    assert (tmp_path / "opened").read_text("utf-8") == page.as_uri()
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert page.parent.stat().st_mode & 0o077 == 0


def test_open_shows_the_page_of_chart_out(home: Path, tmp_path: Path) -> None:
    charts = ("--chart-out", f"{tmp_path}/a.txt", "--chart-out", f"{tmp_path}/a b.html")
    done = ask(home, "what?", "--open", *charts, BROWSER=browser(tmp_path), TMPDIR=str(tmp_path))
    assert done.returncode == 0
    assert (tmp_path / "opened").read_text("utf-8") == (tmp_path / "a b.html").as_uri()
    assert "TTFT" in (tmp_path / "a.txt").read_text("utf-8")
    assert not list(tmp_path.glob("sharpv-*"))


def test_without_a_browser_the_page_is_there_all_the_same(home: Path, tmp_path: Path) -> None:
    done = ask(home, "what?", "--open", BROWSER="/nowhere/browser %s", TMPDIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, f"{TEXT}\n")
    (page,) = tmp_path.glob("sharpv-*/report.html")
    assert f"note: chart written to {page}\n" in done.stderr
    assert done.stderr.endswith("note: no browser was found here to open it with\n")


def test_where_there_is_no_answer_nothing_is_opened_and_nothing_left(home: Path, tmp_path: Path) -> None:
    done = ask(home, "what?", "--open", scenario="no-memory", BROWSER=browser(tmp_path), TMPDIR=str(tmp_path))
    assert done.returncode == 5
    assert [path.name for path in tmp_path.iterdir()] == ["browser"]


def test_answer_survives_an_ascii_stdout(home: Path) -> None:
    done = ask(home, "what?", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, f"{TEXT}\n".replace("ï", r"\xef"))


FULL = "error: cannot write the answer to stdout: No space left on device"


@pytest.mark.parametrize(
    ("redirect", "mode", "code", "said"),
    [
        ("| true", "", 0, ""),
        ("| true", "--json", 0, ""),
        (">&-", "", 2, "error: stdout is closed"),
        (">/dev/full", "", 2, FULL),
        (">/dev/full", "--stream", 2, FULL),
    ],
)
def test_stdout_that_is_gone(home: Path, redirect: str, mode: str, code: int, said: str) -> None:
    command = " ".join(scripted("answer"))
    line = f"set -o pipefail; {command} ask clip.mp4 what? --quiet {mode} {redirect}"
    done = subprocess.run(
        ["bash", "-c", line], env=environment(home), cwd=home, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr[: len(said)]) == (code, said)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_help_whose_reader_is_gone(home: Path) -> None:
    line = f"set -o pipefail; (sleep 0.2; {' '.join(scripted('answer'))} --help) | true"
    done = subprocess.run(["bash", "-c", line], env=environment(home), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_help_on_a_full_disk(home: Path) -> None:
    line = f"{' '.join(scripted('answer'))} --help >/dev/full"
    done = subprocess.run(
        ["bash", "-c", line], env=environment(home), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "error: cannot write the output: No space left on device\n")


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", "2> >(true)"])
def test_stderr_that_is_gone_is_no_failure(home: Path, redirect: str) -> None:
    line = f"{' '.join(scripted('answer'))} ask clip.mp4 what? --stats {redirect}"
    done = subprocess.run(
        ["bash", "-c", line], env=environment(home), cwd=home, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{TEXT}\n")


@pytest.mark.parametrize(("mode", "out"), [("--stream", "[red] is \n"), ("--no-stream", "")])
def test_expected_error_in_mid_answer_ends_the_line(home: Path, mode: str, out: str) -> None:
    done = ask(home, "what?", "--quiet", mode, scenario="no-memory")
    assert (done.returncode, done.stdout) == (5, out)
    assert done.stderr == "error: out of memory\nhint: take fewer frames\n"


def test_bug_is_exit_1_and_says_how_to_report_it(home: Path) -> None:
    done = ask(home, "what?", "--quiet", scenario="bug")
    assert done.returncode == 1
    assert done.stderr.startswith("error: unexpected ZeroDivisionError: a bug\nhint: ")
    assert "SHARPV_DEBUG=1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("scenario", ["bug", "no-memory"])
def test_debug_shows_the_traceback(home: Path, scenario: str) -> None:
    assert "Traceback" in ask(home, "what?", scenario=scenario, SHARPV_DEBUG="1").stderr


def test_ctrl_c_keeps_the_partial_answer(home: Path) -> None:
    process = _start(home, "slow", "--stream")
    assert process.stdout is not None and process.stderr is not None
    assert os.read(process.stdout.fileno(), 100) == b"[red] is "
    assert process.stderr.readline() == b"piece\n"
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=LONG)
    assert (process.returncode, rest) == (130, b"\n")


def test_ctrl_c_while_loading_leaves_at_once(home: Path) -> None:
    process = _start(home, "slow-load")
    assert process.stderr is not None
    assert process.stderr.readline() == b"loading\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=LONG)
    assert (process.returncode, out) == (130, b"")


def test_ctrl_c_between_two_pieces_keeps_the_answer_its_document_and_chart(home: Path) -> None:
    done = ask(home, "what?", "--quiet", "--stream", "--chart-out", "partial.txt", scenario="between")
    assert (done.returncode, done.stdout) == (130, "[red] is not :smile: markup, \n")
    assert "not :smile: markup" in (home / "partial.txt").read_text(encoding="utf-8")


def test_ctrl_c_gives_the_document_of_what_there_is(home: Path) -> None:
    process = _start(home, "slow", "--json")
    assert process.stderr is not None
    assert process.stderr.readline() == b"piece\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=LONG)
    document = json.loads(out)
    assert process.returncode == 130
    assert (document["answer"], document["finish_reason"]) == ("[red] is ", "interrupted")


def test_ctrl_c_that_the_caller_ignores_is_ignored(home: Path) -> None:
    line = f"trap '' INT; {' '.join(scripted('answer'))} ask clip.mp4 what? --quiet & kill -INT $!; wait $!"
    done = subprocess.run(
        ["bash", "-c", line], env=environment(home), cwd=home, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{TEXT}\n")


def test_bad_video_does_not_wait_for_the_model(home: Path) -> None:
    done = ask(home, "what?", "--quiet", scenario="bad-video")
    assert (done.returncode, done.stderr) == (3, "error: no frame can be decoded\n")


def _start(home: Path, scenario: str, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*scripted(scenario), "ask", "clip.mp4", "what?", "--quiet", *args],
        env=environment(home),
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _on_terminal(home: Path, *args: str, scenario: str = "answer", **changes: str) -> tuple[str, str]:
    """stdout through a pipe, and stderr as a terminal of 80 columns got it."""
    seen = on_terminal(scripted(scenario), "ask", "clip.mp4", "what?", *args, home=home, **changes)
    assert seen.code == 0
    return seen.pipe, seen.terminal


def test_terminal_gets_progress_and_chart_and_the_pipe_its_answer(home: Path) -> None:
    # A folder as the model: while one is downloaded, the hub's own bars are shown instead.
    out, err = _on_terminal(home, "--model", str(home), scenario="slow-start")
    assert out == f"{TEXT}\n"
    assert "answering" in err
    assert "TTFT" in err


def test_quick_stages_are_not_named(home: Path) -> None:
    _, err = _on_terminal(home, "--model", str(home), scenario="quick")
    assert "loading the model" not in err
    assert "answering" not in err


def test_no_stats_and_no_colour_on_a_terminal(home: Path) -> None:
    _, err = _on_terminal(home, "--no-stats", NO_COLOR="1")
    assert "TTFT" not in err
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", err)


def test_dumb_terminal_gets_no_escape_codes(home: Path) -> None:
    _, err = _on_terminal(home, "--model", str(home), scenario="slow-start", TERM="dumb")
    assert "\x1b" not in err
    assert "TTFT" in err


def test_libraries_may_print_while_stdout_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.stdout_kept():
        print("noise")
        terminal.write_answer("answer\n")
    terminal.write_answer("more\n")
    assert capsys.readouterr() == ("answer\nmore\n", "noise\n")


SLOWLY = """
import fcntl, os, subprocess, sys, time
reader, writer = os.pipe()
os.set_blocking(writer, False)
fcntl.fcntl(writer, 1031, 4096)  # F_SETPIPE_SZ
process = subprocess.Popen(sys.argv[1:], stdout=writer, stderr=writer)
os.close(writer)
time.sleep(0.5)  # the pipe is full meanwhile
got = b""
while chunk := os.read(reader, 5000):
    got += chunk
sys.stdout.buffer.write(got)
sys.exit(process.wait())
"""


@pytest.mark.parametrize(
    "command",
    [
        [
            "ask",
            "clip.mp4",
            *(part for n in range(8) for part in ("-q", f"question {n}?")),
            "--json",
            "--quiet",
        ],
        ["ask", "clip.mp4", *(part for n in range(200) for part in ("-q", f"{n}?")), "--quiet", "--stream"],
        ["ask", "--help"],
    ],
    ids=["json", "stream", "help"],
)
def test_every_byte_goes_into_a_pipe_that_does_not_wait(home: Path, command: list[str]) -> None:
    """Both streams into one pipe with O_NONBLOCK, as ssh and node leave them: the same as into a file."""
    whole = run([*scripted("answer"), *command], home=home)
    slowly = run([sys.executable, "-c", SLOWLY, *scripted("answer"), *command], home=home)
    assert (slowly.returncode, slowly.stderr) == (0, "")
    assert slowly.stdout == whole.stdout + whole.stderr
    assert len(whole.stdout) > 4096 or "--help" in command
