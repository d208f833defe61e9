"""The prompt of `sharpv ask VIDEO`: one question a line, each independent of the others."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sharpv_cli import terminal

if TYPE_CHECKING:
    from prompt_toolkit.history import History


def possible() -> bool:
    """Whether somebody can type: the answers may go anywhere, the prompt is drawn on stderr."""
    return sys.stdin is not None and sys.stdin.isatty() and terminal.stderr().is_terminal


def typed_questions() -> Iterator[str]:
    """Each line that is typed, stripped; Ctrl-C drops the line, Ctrl-D ends, empty lines are nothing."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.output import create_output

    terminal.say("note", "one question a line, each on its own; Ctrl-D ends")
    session: PromptSession[str] = PromptSession(
        "? ",
        history=_history(os.environ),
        output=create_output(stdout=sys.stderr),
        reserve_space_for_menu=0,
    )
    while True:
        try:
            question = session.prompt().strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if question:
            yield question


def _history(environ: Mapping[str, str]) -> History:
    """Kept in the user's state folder, readable by nobody else; for this session only where that is not possible."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    path = history_file(environ)
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with path.open("a"):
            return FileHistory(str(path))
    except OSError:
        return InMemoryHistory()


def history_file(environ: Mapping[str, str]) -> Path | None:
    """`$XDG_STATE_HOME/sharpv/history`, by default under ~/.local/state."""
    if state := environ.get("XDG_STATE_HOME"):
        return Path(state) / "sharpv" / "history"
    return Path(home) / ".local" / "state" / "sharpv" / "history" if (home := environ.get("HOME")) else None
