"""A limit in seconds for work that may never come back: a stream nobody writes to, a hang inside FFmpeg."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from typing import TypeVar

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
    except multiprocessing.TimeoutError as error:
        raise VideoError(
            f"{doing} {shown(path)} took longer than {seconds:g} s",
            hint="give it more time with --timeout, or a shorter piece with --start and --end",
        ) from error


def within(seconds: float, work: Callable[[], T]) -> T:
    """As `in_time`, but raises multiprocessing.TimeoutError past the limit."""
    pool = ThreadPool(1)
    try:
        return pool.apply_async(work).get(seconds)
    finally:
        pool.terminate()
