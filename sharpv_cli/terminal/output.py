"""stdout: exactly the answer, and how a process ends whose reader or disk is gone."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, NoReturn, TextIO

from sharpv_cli import signals
from sharpv_cli.errors import UsageError
from sharpv_cli.terminal.messages import console_on, to_devnull
from sharpv_cli.text import dump, encodable, printable_lines

if TYPE_CHECKING:
    from rich.console import RenderableType

# Exit codes of runs that have done what they could.
SOME_FAILED = 6
INTERRUPTED = 130


class ReaderClosed(Exception):  # noqa: N818 - not an error: the reader has seen enough
    """Whoever read our output closed the pipe; the process ends quietly with exit 0."""


def require_stdout() -> None:
    """Raise UsageError when stdout was closed (`>&-`), before the model is loaded for nothing."""
    if sys.stdout is None:
        raise UsageError("stdout is closed, so the answer has nowhere to go", hint="leave out `>&-`")


_kept: TextIO | None = None  # stdout, while sys.stdout is another stream


@contextmanager
def stdout_kept() -> Iterator[None]:
    """Inside, what libraries print goes to stderr; `write_answer` still writes to stdout."""
    global _kept
    _kept = sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _kept = None


def write_answer(text: str) -> None:
    """Write to stdout and flush, exactly the text: no wrapping, markup or emoji.

    What a terminal would obey it is shown; a pipe gets it as it is. Characters that the stream's encoding lacks are
    written as escapes. Raises ReaderClosed when the reader closed the pipe, UsageError when stdout is closed or cannot
    be written (a full disk).
    """
    require_stdout()
    _write(printable_lines(text) if stdout_is_terminal() else text)


def stdout_is_terminal() -> bool:
    """Whether answers are read by people as they come."""
    return (_kept or sys.stdout).isatty()


def write_report(what: RenderableType) -> None:
    """A drawn result on stdout: with its colours on a terminal, as plain text without trailing blanks in a pipe.

    It is 80 columns wide where nothing says otherwise (the terminal, COLUMNS). Raises as `write_answer` does.
    """
    require_stdout()
    console = console_on(sys.stdout)
    with console.capture() as drawn:
        console.print(what)
    lines = drawn.get().splitlines()
    _write("".join(f"{line if console.is_terminal else line.rstrip()}\n" for line in lines))


def _write(text: str) -> None:
    stream = _kept or sys.stdout
    try:
        stream.write(encodable(text, stream.encoding or "utf-8"))
        stream.flush()
    except BrokenPipeError as error:
        to_devnull(1)
        raise ReaderClosed from error
    except OSError as error:
        to_devnull(1)
        raise UsageError(f"cannot write the answer to stdout: {error.strerror}") from error


def write_json(document: Mapping[str, object], *, several: bool = False) -> None:
    """A document on stdout: a line each where there are `several`, a single one indented where people read it.

    Raises as `write_answer` does.
    """
    require_stdout()
    for_people = not several and stdout_is_terminal()
    write_answer(f"{dump(document, indent=2 if for_people else None)}\n")


def leave(code: int) -> NoReturn:
    """End the process at once: tearing PyTorch down takes a second, and a thread may still load a model.

    What has registered itself to run at exit runs, except where a failure left such a thread behind.
    """
    if not (code and threading.active_count() > 1):
        atexit._run_exitfuncs()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError):
            stream.flush()
    signals.run_cleanups()
    os._exit(code)
