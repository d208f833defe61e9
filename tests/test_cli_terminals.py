"""Terminals as people have them: narrow and wide, with and without colours, and in other encodings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from run_cli import ROOT, SHARPV, TEXT, environment, run, scripted
from terminals import on_terminal

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][;m]")


ASK = ["ask", "clip.mp4", "what?"]


@pytest.mark.parametrize("columns", [20, 40, 80, 120])
def test_the_chart_on_a_terminal_of_any_width(home: Path, columns: int) -> None:
    seen = on_terminal(scripted("answer"), *ASK, home=home, columns=columns)
    assert max(map(cell_len, seen.lines)) <= columns
    words = " ".join(seen.text.split())
    assert "note: the built-in demo model answers; it knows only moving shapes (for a real model: -p" in words
    assert "warning: only 7 of 8 frames were found" in words
    assert re.search(r"visual retention .*21\.9%.*KV retention .*13\.1%.*TTFT 182 ms", words)
    assert (seen.code, seen.pipe) == (0, f"{TEXT}\n")


def test_a_terminal_on_stdout_and_a_pipe_on_stderr(home: Path) -> None:
    seen = on_terminal(scripted("answer"), *ASK, home=home, stdout=True)
    assert seen.terminal == f"{TEXT}\r\n"
    assert "TTFT" not in seen.pipe
    assert "\x1b" not in seen.pipe


@pytest.mark.parametrize("columns", [20, 80])
def test_the_doctor_on_a_terminal(home: Path, tmp_path: Path, columns: int) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no libcudart')", encoding="utf-8")
    path = f"{tmp_path}:{ROOT}"
    seen = on_terminal(SHARPV, "doctor", home=home, columns=columns, stdout=True, PYTHONPATH=path)
    assert max(map(cell_len, seen.lines)) <= columns
    squeezed = "".join(seen.text.split())
    assert "profiletiny(shipped)" in squeezed
    assert "problem:torchcannotbeimported" in squeezed
    assert seen.pipe.startswith("error: torch cannot be imported")
    assert COLOUR.search(seen.terminal)


@pytest.mark.parametrize("columns", [20, 120])
def test_a_profile_on_a_terminal(home: Path, columns: int) -> None:
    seen = on_terminal(
        scripted("answer"), "profile", "clip.mp4", home=home, columns=columns, stdout=True, NO_COLOR="1"
    )
    assert max(map(cell_len, seen.lines)) <= columns
    assert "TTFT" in seen.text
    assert not COLOUR.search(seen.terminal)


def test_an_error_on_a_narrow_terminal_is_whole(home: Path) -> None:
    name = "a-rather-long-name-of-a-profile"
    seen = on_terminal(scripted("real"), "models", "show", name, home=home, columns=20)
    assert f"error: unknown profile: {name}\n" in seen.text
    assert seen.code == 2


@pytest.mark.parametrize("columns", ["20", "40"])
def test_help_on_a_narrow_terminal_is_wrapped_between_words(home: Path, columns: str) -> None:
    """Examples are for copying and stay whole; from 42 columns on the options fit as well."""
    for args in ([], ["ask"]):
        done = run(scripted("real"), *args, "--help", home=home, COLUMNS=columns)
        prose = done.stdout.partition("Examples:")[0].partition("\n\n")[2]
        assert max(map(len, prose.splitlines())) <= int(columns)
        assert "..." not in done.stdout.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("changes", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "0"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_in_a_pipe(home: Path, changes: dict[str, str], coloured: bool) -> None:
    done = run(scripted("answer"), *ASK, "--stats", home=home, **changes)
    assert bool(COLOUR.search(done.stderr)) == coloured
    assert done.stdout == f"{TEXT}\n"


def test_forced_colours_do_not_make_a_pipe_a_terminal(home: Path) -> None:
    done = run(scripted("slow-start"), *ASK, "--model", str(home), home=home, FORCE_COLOR="1")
    assert "TTFT" not in done.stderr
    assert "answering" not in done.stderr
    assert "\x1b[?25" not in done.stderr


@pytest.mark.parametrize(
    ("changes", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"FORCE_COLOR": "0"}, True)],
)
def test_colours_on_a_terminal(home: Path, changes: dict[str, str], coloured: bool) -> None:
    seen = on_terminal(scripted("answer"), *ASK, home=home, **changes)
    assert bool(COLOUR.search(seen.terminal)) == coloured


def test_a_dumb_terminal_gets_no_escape_codes_even_with_forced_colours(home: Path) -> None:
    seen = on_terminal(scripted("answer"), *ASK, home=home, TERM="dumb", FORCE_COLOR="1")
    assert "\x1b" not in seen.terminal
    assert "TTFT" in seen.terminal


ENCODINGS = [
    ({"PYTHONIOENCODING": "ascii"}, b"na\\xefve"),
    ({"PYTHONIOENCODING": "ascii:strict"}, b"na\\xefve"),
    ({"PYTHONIOENCODING": "cp1252"}, b"na\xefve"),
    ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, b"na\\xefve"),
]


@pytest.mark.parametrize(("changes", "word"), ENCODINGS, ids=["ascii", "strict", "cp1252", "C"])
def test_streams_that_are_not_unicode(home: Path, changes: dict[str, str], word: bytes) -> None:
    (home / "円.mp4").write_bytes((home / "clip.mp4").read_bytes())
    done = _bytes(home, *ASK, "--stats", **changes)
    assert (done.returncode, done.stdout[-len(word) - 1 :]) == (0, word + b"\n")
    assert done.stderr.isascii()
    assert b"####" in done.stderr
    assert _bytes(home, *ASK, "-p", "円", **changes).stderr.startswith(b"error: unknown profile: \\u")


def _bytes(home: Path, *args: str, **changes: str) -> subprocess.CompletedProcess[bytes]:
    command = [*scripted("answer"), *args]
    return subprocess.run(
        command, cwd=home, env=environment(home, **changes), capture_output=True, check=False
    )


def test_verbose_says_what_runs_and_how_long_it_took(home: Path) -> None:
    done = run(scripted("answer"), "profile", "clip.mp4", "--verbose", "--methods", "dense", home=home)
    details = [line for line in done.stderr.splitlines() if line.startswith("detail: ")]
    assert any(re.fullmatch(r"detail: loading the model took \d+\.\d\d s", line) for line in details)
    assert any(line.startswith("detail: attention sdpa (") for line in details)
    assert any(re.match(r"detail: sampling uniform: \d+ frames from 0:00\.5 to ", line) for line in details)
    assert "detail: device cpu, float32" in details
    assert "detail: engine fast (serves qwen2)" in details
    asked = run(scripted("answer"), *ASK, "--verbose", home=home)
    assert "detail: engine fast (serves qwen2)" in asked.stderr.splitlines()
    assert done.returncode == 0


def test_details_are_for_verbose_only(home: Path) -> None:
    assert "detail:" not in run(scripted("answer"), "profile", "clip.mp4", home=home).stderr


def test_verbose_and_quiet_exclude_each_other(home: Path) -> None:
    done = run(scripted("real"), "profile", "clip.mp4", "--verbose", "--quiet", home=home)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --quiet and --verbose exclude each other\n")


def test_verbose_shows_what_libraries_warn_of(home: Path) -> None:
    script = "import warnings; from sharpv_cli import terminal as t; t.set_level({}); warnings.warn('old\\n')"
    start = [sys.executable, "-W", "ignore", "-c"]
    said = run([*start, script.format("verbose=True")], home=home).stderr
    assert said == "detail: UserWarning in <string>: old\\n\n"
    assert run([*start, script.format("")], home=home).stderr == ""
