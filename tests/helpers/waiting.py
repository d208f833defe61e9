"""Waiting for what a test is about, and not for a time in which it should have come about."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LONG = (
    120.0  # seconds: more than anything takes on a machine that is slow and busy, so only what hangs takes it
)


def until(condition: Callable[[], object], what: Callable[[], object] | str = "") -> None:
    """Wait until it holds; `what` says what is wrong where it never does."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.01)


def signal_taken(pid: int) -> bool:
    """Whether the process has taken every signal that it was sent."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return not any(int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd:", "ShdPnd:")))


def alive(pid: int) -> bool:
    with suppress(OSError):  # it may go while we look
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def descendants(pid: int) -> set[int]:
    """The processes below this one, and those below them."""
    found = set()
    with suppress(OSError):  # they may go while we look
        for task in Path(f"/proc/{pid}/task").iterdir():
            found |= {int(text) for text in (task / "children").read_text().split()}
    return found.union(*map(descendants, found))
