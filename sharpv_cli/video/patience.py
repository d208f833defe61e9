"""A limit in seconds for work that may never come back: a stream nobody writes to, a hang inside FFmpeg."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import ExitStack
from typing import TypeVar

from sharpv_cli.errors import VideoError
from sharpv_cli.video.local import FilePath, limits_of
from sharpv_cli.video.refusals import shown

T = TypeVar("T")


def too_slow(path: FilePath, doing: str) -> VideoError:
    """What is said of work that took longer than the video's limit."""
    return VideoError(
        f"{doing} {shown(path)} took longer than {limits_of(path).timeout:g} s",
        hint="give it more time with --timeout, or a shorter piece with --start and --end",
    )


class OutOfTimeError(Exception):
    """The work was not done within its seconds."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` gives, where that takes no longer.

    It runs on a thread of its own, because nothing can stop a call inside of FFmpeg: past the limit that thread is left
    behind, and as a daemon it does not hold the process at its end. Ctrl-C comes through at once. Raises OutOfTimeError
    past the limit, else what `work` does.
    """
    outcome: Future[T] = Future()
    threading.Thread(target=_settle, args=(outcome, work), name="sharpv-within", daemon=True).start()
    if not wait([outcome], seconds).done:
        raise OutOfTimeError
    return outcome.result()


def _settle(outcome: Future[T], work: Callable[[], T]) -> None:
    """Do the work; what it gives or raises goes to the thread that waits for it."""

    def hand_on(_kind: object, error: BaseException | None, _trace: object) -> bool:
        outcome.set_exception(error)
        return True

    with ExitStack() as stack:
        stack.push(hand_on)
        result = work()
        stack.pop_all()
        outcome.set_result(result)
