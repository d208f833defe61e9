"""The prompt of `sharpv ask VIDEO`: one question a line, each independent of the others; and a few commands."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpv_cli import terminal
from sharpv_cli.folders import user_folder

if TYPE_CHECKING:
    from prompt_toolkit.history import History


_LEAVING = ("exit", "quit", "/bye", "/exit", "/quit")
_LIKE_A_COMMAND = re.compile(r"/[a-z?]+")


def possible() -> bool:
    """Whether somebody can type: the answers may go anywhere, the prompt is drawn on stderr."""
    return sys.stdin is not None and sys.stdin.isatty() and terminal.stderr().is_terminal


@dataclass(frozen=True, slots=True)
class Command:
    """What may be typed instead of a question: `run` gets the words behind it and says whether the questions end."""

    help: str
    run: Callable[[str], bool]


def typed_questions(commands: Mapping[str, Command]) -> Iterator[str]:
    """Each line that is typed or pasted, stripped, until one that ends them; empty lines are nothing.

    `commands` go by their names, such as `/stats`. Ctrl-C drops the line; the second ends, as Ctrl-D does.
    """
    for line in _lines(_prompt()):
        name, _, words = line.partition(" ")
        if line.lower() in _LEAVING:
            return
        if name == "/help":
            _show_help(commands)
        elif (command := commands.get(name)) is not None:
            if command.run(words.strip()):
                return
        elif _LIKE_A_COMMAND.fullmatch(name):
            terminal.say("error", f"no such command: {name}")
            terminal.say("hint", "/help lists them; a question may begin with anything but a slash")
        else:
            yield line


def _lines(prompt: Callable[[], str]) -> Iterator[str]:
    pressed = False
    while True:
        try:
            typed = prompt()
        except KeyboardInterrupt as interrupt:
            dropped = bool(interrupt.args)
            if pressed and not dropped:
                return
            pressed = not dropped
            if pressed:
                terminal.say("note", "Ctrl-C once more leaves")
            continue
        except EOFError:
            return
        pressed = False
        for line in typed.encode("utf-8", "replace").decode().split("\n"):  # bytes that were no UTF-8: `?`
            if line := line.strip():
                yield line


def _show_help(commands: Mapping[str, Command]) -> None:
    rows = [(name, command.help) for name, command in commands.items()]
    for name, text in [*rows, ("/bye", "leave, as exit, quit, Ctrl-D and Ctrl-C twice do")]:
        terminal.show(f"{name:<8} {text}", soft_wrap=True)


def _prompt() -> Callable[[], str]:
    """Reads what is typed up to Enter: with editing and history, unless the terminal is a dumb one.

    What it raises for Ctrl-C has as its argument the line that is dropped, where there is something in it.
    """
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

    def prompt() -> str:
        try:
            return session.prompt(set_exception_handler=False)  # its own one writes to stdout
        except KeyboardInterrupt as error:
            dropped = session.default_buffer.text
            raise KeyboardInterrupt(*filter(None, [dropped])) from error

    return prompt


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
