"""The prompt of `sharpv ask VIDEO`: one question a line, each independent of the others."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from sharpv_cli import terminal
from sharpv_cli.folders import user_folder

if TYPE_CHECKING:
    from prompt_toolkit.history import History


def possible() -> bool:
    """Whether somebody can type: the answers may go anywhere, the prompt is drawn on stderr."""
    return sys.stdin is not None and sys.stdin.isatty() and terminal.stderr().is_terminal


def typed_questions() -> Iterator[str]:
    """Each line that is typed or pasted, stripped; Ctrl-C drops the line, Ctrl-D ends, empty lines are nothing."""
    terminal.say("note", "one question per line, each on its own; Ctrl-D quits")
    prompt = _prompt()
    while True:
        try:
            typed = prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        for line in typed.encode("utf-8", "replace").decode().split("\n"):  # bytes that were no UTF-8: `?`
            if question := line.strip():
                yield question


def _prompt() -> Callable[[], str]:
    """Reads what is typed up to Enter: with editing and history, unless the terminal is a dumb one."""
    if terminal.stderr().is_dumb_terminal:
        return _plain_prompt
    from prompt_toolkit import PromptSession
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.keys import Keys
    from prompt_toolkit.output import create_output

    keys = KeyBindings()
    keys.add(Keys.Vt100MouseEvent)(lambda _: None)  # what is pasted can look like one and raise an exception
    session: PromptSession[str] = PromptSession(
        "? ",
        history=_history(os.environ),
        output=create_output(stdout=sys.stderr),
        key_bindings=keys,
        reserve_space_for_menu=0,
        enable_suspend=True,
    )
    return lambda: session.prompt(set_exception_handler=False)  # its own one writes to stdout


def _plain_prompt() -> str:
    sys.stderr.write("? ")
    sys.stderr.flush()
    line = sys.stdin.buffer.readline()
    if not line:
        raise EOFError
    return line.decode("utf-8", "replace")


def _history(environ: Mapping[str, str]) -> History:
    """Kept in the user's state folder, readable by nobody else; for this session only where that is not possible."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    class Kept(FileHistory):
        def store_string(self, string: str) -> None:
            """On a full disk the line is in this session's history only."""
            with suppress(OSError):
                super().store_string(string)

    folder = user_folder("state", environ)
    if folder is None:
        return InMemoryHistory()
    path = folder / "history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with path.open("a"):
            return Kept(str(path))
    except OSError:
        return InMemoryHistory()
