"""How a signal ends the process: at once, with 128 + its number, no traceback and no unfinished file.

Ctrl-C is different where there is something to keep: there it raises KeyboardInterrupt, see `interruptible`.
This is imported before all else, so it imports almost nothing itself.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType

_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_cleanups: list[Callable[[], object]] = []
_stays = False  # this process outlives the commands that it works for
_in_front = False  # it runs a command for such a process
_pending = False  # Ctrl-C came to it where nothing may be interrupted


def end_at_once() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP end the process, except for those that our caller ignores.

    Callers ignore them for `nohup`, and for jobs in the background of a script.
    """
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


def stay() -> None:
    """This process outlives the commands that it works for: SIGTERM and SIGHUP end it, and Ctrl-C does not."""
    global _stays
    _stays = True
    signal.signal(signal.SIGINT, _pass_over)


def stand_in_front() -> None:
    """This process runs a command for one that stays, and imports nothing heavy: Ctrl-C ends the command's work."""
    global _in_front
    stay()
    _in_front = True


def stays() -> bool:
    """Whether this process stays for further commands, or runs one for such a process."""
    return _stays


def in_front() -> bool:
    """Whether this process runs a command for one that stays."""
    return _in_front


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, Ctrl-C raises KeyboardInterrupt, so that what was made so far can be kept."""
    with _on_interrupt(signal.default_int_handler):
        yield


@contextmanager
def uninterruptible() -> Iterator[None]:
    """Inside of `interruptible`, Ctrl-C ends the process all the same.

    For imports: KeyboardInterrupt raised inside of an extension module is swallowed at times. A command that a process
    which stays runs for somebody ends as anywhere else: who typed it is told.
    """
    with nullcontext() if _in_front else _on_interrupt(_leave):
        yield


@contextmanager
def held_back() -> Iterator[None]:
    """Inside of `interruptible`, Ctrl-C waits for the end of the block."""
    global _pending
    _pending = False
    with _on_interrupt(_note):
        yield
    if _pending:
        _pending = False
        raise KeyboardInterrupt


@contextmanager
def on_leaving(cleanup: Callable[[], object]) -> Iterator[None]:
    """`cleanup` runs where the process ends inside of the block without unwinding its stack."""
    _cleanups.append(cleanup)
    try:
        yield
    finally:
        _cleanups.remove(cleanup)


@contextmanager
def unfinished(path: str | os.PathLike[str]) -> Iterator[None]:
    """A temporary file: it does not outlive the block, whatever ends it, unless it was renamed inside."""

    def remove() -> None:
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - pathlib is not imported yet when signals are first set up

    with on_leaving(remove):
        try:
            yield
        finally:
            remove()


def run_cleanups() -> None:
    """What `on_leaving` holds, newest first: for whoever calls os._exit."""
    while _cleanups:
        _cleanups.pop()()


def _leave(number: int, _frame: FrameType | None) -> None:
    run_cleanups()
    os._exit(128 + number)


def _note(_number: int, _frame: FrameType | None) -> None:
    global _pending
    _pending = True


def _pass_over(_number: int, _frame: FrameType | None) -> None:
    """The command that it was meant for has just ended, or is run by another process."""


@contextmanager
def _on_interrupt(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    previous = signal.getsignal(signal.SIGINT)
    if previous is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
