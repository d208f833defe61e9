"""A limit in seconds for work that may never come back: a stream nobody writes to, a hang inside FFmpeg."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

from sharpv_cli.errors import VideoError
from sharpv_cli.video.local import FilePath, limits_of
from sharpv_cli.video.refusals import shown

T = TypeVar("T")


def in_time(path: FilePath, doing: str, work: Callable[[], T]) -> T:
    """What `work` gives, where that takes no longer than the video's own limit (`limits_of(path).timeout`).

    `doing` says what it is for: "decoding". The work runs on a thread of its own, because nothing can stop a
    call inside of FFmpeg: past the limit that thread is left behind, and as a daemon it does not hold the
    process at its end. Ctrl-C comes through at once. Raises VideoError past the limit, else what `work` does.
    """
    seconds = limits_of(path).timeout
    try:
        return within(seconds, work)
    except OutOfTimeError as error:
        raise too_slow(path, doing) from error


def too_slow(path: FilePath, doing: str) -> VideoError:
    """What is said of work that took longer than the video's limit."""
    return VideoError(
        f"{doing} {shown(path)} took longer than {limits_of(path).timeout:g} s",
        hint="give it more time with --timeout, or a shorter piece with --start and --end",
    )


class OutOfTimeError(Exception):
    """The work was not done within its seconds."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """As `in_time`, but raises OutOfTimeError past the limit."""
    outcome: _Outcome[T] = _Outcome(work)
    thread = threading.Thread(target=outcome.settle, name="sharpv-within", daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome.get()


class _Outcome(Generic[T]):
    """What the work gave or raised, for the thread that waits for it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._results: list[T] = []
        self._error: BaseException = OutOfTimeError()

    def settle(self) -> None:
        with self:
            self._results.append(self._work())

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._error = error or self._error
        return True

    def get(self) -> T:
        if self._results:
            return self._results[0]
        raise self._error
