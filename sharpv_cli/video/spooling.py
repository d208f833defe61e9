"""Copying what cannot be read twice (stdin, a pipe, a download) to a private temporary file."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast

from sharpv_cli import shortage
from sharpv_cli.errors import SharpvError, VideoError
from sharpv_cli.text import shown
from sharpv_cli.units import memory_size
from sharpv_cli.video.local import Limits, LocalVideo
from sharpv_cli.video.patience import OutOfTimeError, within

Progress = Callable[[int, int | None], None]
"""Told the bytes that are there so far and, where it is known, how many there will be; on another thread."""

Source = Callable[["Copy"], None]
"""Writes the whole video to a copy. Raises VideoError."""


class Copy:
    """The temporary file while it is filled; counts what it holds, and stops at the limit."""

    def __init__(self, file: io.FileIO, name: str, limits: Limits, progress: Progress | None) -> None:
        self._file = file
        self.name = name
        self._limits = limits
        self._progress = progress
        self._total: int | None = None
        self.received = 0

    def expect(self, total: int | None) -> None:
        """Refuse a size that is known beforehand, before any of it is copied. Raises VideoError."""
        self._total = total
        if total is not None and total > self._limits.max_bytes:
            raise self._too_large(f"{memory_size(total)}, ")

    def check(self, received: int) -> None:
        """Raises VideoError where so many bytes are over the limit."""
        if received > self._limits.max_bytes:
            raise self._too_large("")

    def write(self, chunk: bytes) -> None:
        """Append. Raises VideoError over the limit, or where the disk is full."""
        self.check(self.received + len(chunk))
        self.received += len(chunk)
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise _no_room(self.name, error) from error
        if self._progress is not None:
            self._progress(self.received, self._total)

    def _too_large(self, size: str) -> VideoError:
        limit = self._limits.max_bytes
        return VideoError(
            f"{shown(self.name)} is {size}over the limit of {memory_size(limit)}",
            hint=f"allow more with --max-bytes (now {limit})",
        )


@contextmanager
def spooled(
    name: str, source: Source, limits: Limits, progress: Progress | None = None
) -> Iterator[LocalVideo]:
    """What `source` writes, as a file that is gone when the block ends, however it ends.

    Raises VideoError over the limits of bytes and seconds, and whatever `source` raises.
    """
    with _private_file(name) as (file, path):
        copy = Copy(file, name, limits, progress)
        try:
            within(limits.timeout, partial(source, copy))
        except OutOfTimeError as error:
            raise VideoError(
                f"{shown(name)} was not complete after {limits.timeout:g} s ({memory_size(copy.received)} came)",
                hint="give it more time with --timeout" if copy.received else "is anything writing to it?",
            ) from error
        yield LocalVideo(path, name, limits, private=True)


@contextmanager
def _private_file(name: str) -> Iterator[tuple[io.FileIO, str]]:
    """A temporary file and the path to open it again.

    It has no name where the system has /proc, so that not even a killed process leaves it behind.
    """
    try:
        unnamed = tempfile.TemporaryFile(buffering=0, prefix="sharpv-")  # noqa: SIM115 - closed below
    except OSError as error:
        raise _no_room(name, error) from error
    with unnamed:
        path = Path(f"/proc/{os.getpid()}/fd/{unnamed.fileno()}")  # not `self`: child processes read it too
        if path.exists():
            yield unnamed, str(path)
            return
    with tempfile.NamedTemporaryFile(buffering=0, prefix="sharpv-") as named:
        yield cast(io.FileIO, named), named.name


def _no_room(name: str, error: OSError) -> SharpvError:
    if what := shortage.lack(error):
        return shortage.short(what, f"copying {shown(name)}")
    return VideoError(
        f"{shown(name)} cannot be copied to a temporary file: {error.strerror}",
        hint="set TMPDIR to a folder with more room, or save the video and give its path",
    )
