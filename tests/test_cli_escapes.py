"""What foreign text would have a terminal do is shown, wherever it comes from; a pipe gets the text as it is."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from run_cli import HOSTILE, SHARPV, run, scripted
from terminals import on_terminal

from sharpv_cli.text import printable_lines

NAME = "a\x1b]0;mine\x07\x9b2J\u202e\u200fb"
SHOWN = r"a\x1b]0;mine\x07\x9b2J\u202e\u200fb"
ASK = ["ask", "clip.mp4", "what?"]
# Rich's own: colours, a cursor that is hidden and shown, lines that are cleared.
_OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r\n|\r")
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def obeyed(seen: str) -> list[str]:
    """What of it a terminal would obey, without what Rich may write."""
    return _OBEYED.findall(_OURS.sub("", seen))


@pytest.fixture
def place(home: Path, tmp_path: Path) -> Path:
    """A home with a clip, a profile and a folder whose names are sequences."""
    shutil.copy(home / "clip.mp4", tmp_path / "clip.mp4")
    shutil.copy(home / "clip.mp4", tmp_path / f"{NAME}.mp4")
    profiles = tmp_path / ".config" / "sharpv" / "profiles"
    profiles.mkdir(parents=True)
    own = f"description: {json.dumps(NAME)}\nmodel: {{id: {json.dumps(NAME)}}}\n"
    (profiles / f"{NAME}.yaml").write_text(own, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("mode", [[], ["--no-stream"], ["--json"]])
def test_an_answer_on_a_terminal_is_shown(home: Path, mode: list[str]) -> None:
    seen = on_terminal(scripted("hostile"), *ASK, *mode, home=home, stdout=True)
    assert seen.code == 0
    assert obeyed(seen.terminal) == []
    if mode != ["--json"]:
        assert seen.terminal.replace("\r\n", "\n") == printable_lines("".join(HOSTILE)) + "\n"


@pytest.mark.parametrize("mode", [[], ["--stream"]])
def test_an_answer_in_a_pipe_comes_as_it_is(home: Path, mode: list[str]) -> None:
    done = run(scripted("hostile"), *ASK, *mode, home=home)
    assert (
        done.stdout == "".join(HOSTILE).replace("\r", "\n") + "\n"
    )  # the test reads text: CR is a line's end


@pytest.mark.parametrize(
    "args",
    [
        ["ask", f"{NAME}.mp4", NAME, "-q", NAME, "--stats", "--show-settings", "--verbose"],
        ["ask", "clip.mp4", "what?", "-p", NAME, "--show-settings", "--stats"],
        ["ask", "clip.mp4", "what?", "--model", NAME, "--stats", "--verbose"],
        ["ask", f"{NAME}/clip.mp4", "what?"],
        ["ask", "clip.mp4", "what?", "--device", NAME, f"--{NAME}"],
        ["ask", "clip.mp4", "what?", "--chart-out", f"{NAME}.svg"],
        [NAME],
    ],
)
def test_messages_and_charts_on_a_terminal_are_shown(place: Path, args: list[str]) -> None:
    seen = on_terminal(scripted("hostile"), *args, home=place)
    assert obeyed(seen.terminal) == []
    assert "mine" in seen.text


def test_a_traceback_on_a_terminal_is_shown(home: Path) -> None:
    seen = on_terminal(scripted("real"), *ASK, "-p", NAME, home=home, SHARPV_DEBUG="1")
    assert obeyed(seen.terminal) == []
    assert seen.text.count(SHOWN) == 2
    assert "Traceback" in seen.text


@pytest.mark.parametrize(
    ("command", "args"),
    [
        (scripted("real"), ["models", "list"]),
        (scripted("real"), ["models", "show", NAME]),
        (scripted("real"), ["doctor"]),
        (scripted("answer"), ["profile", f"{NAME}.mp4", "-q", NAME]),
        (SHARPV, ["probe", f"{NAME}.mp4"]),
    ],
)
def test_reports_on_a_terminal_are_shown(place: Path, command: list[str], args: list[str]) -> None:
    seen = on_terminal(command, *args, home=place, stdout=True, columns=200)
    assert obeyed(seen.terminal + seen.pipe) == []
    assert "mine" in seen.text or args[0] in ("doctor", "profile")


def test_a_name_stays_in_its_line(home: Path, tmp_path: Path) -> None:
    profiles = tmp_path / ".config" / "sharpv" / "profiles"
    profiles.mkdir(parents=True)
    (profiles / "two\nlines.yaml").write_text("model: {id: a/b}\n", encoding="utf-8")
    for args in (["models", "list"], ["models", "show", "two\nlines"]):
        done = run(scripted("real"), *args, home=tmp_path)
        assert done.returncode == 0
        assert r"two\nlines" in done.stdout
        assert not re.search(r"^lines", done.stdout, re.MULTILINE)
