"""JSON lines that go where nothing is read back: a pipe, a FIFO, a terminal, /dev/stdout, `>(gzip)`."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any, Self

from sharpv_cli.errors import UsageError
from sharpv_cli.files import write_all
from sharpv_cli.text import dump, shown

_DESCRIPTOR = re.compile(r"/dev/std(?:in|out|err)|(?:/dev|/proc/self)/fd/\d+")
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_READER_SEC = 10.0  # how long a FIFO may wait for somebody who opens it for reading


def is_piped(path: Path) -> bool:
    """Whether lines written to `path` cannot be read back. Raises UsageError for devices that keep nothing."""
    if _descriptor(path) is not None:
        return True
    try:
        found = path.stat()
    except (OSError, ValueError):
        return False
    if stat.S_ISFIFO(found.st_mode) or _is_null(found):
        return True
    if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
        return False
    if stat.S_ISCHR(found.st_mode) and _is_terminal(path):
        return True
    raise UsageError(f"{shown(path)} is a device or a socket", hint="name a file, a pipe, or - for stdout")


def is_stdout(path: Path) -> bool:
    """Whether `path` is another word for stdout."""
    return str(path) == "-" or _descriptor(path) == 1


class Piped:
    """As `appending.Lines`, for what only takes: nothing is there already. Raises UsageError where it takes nothing."""

    locked = True
    resumable = False

    def __init__(self, path: Path, *, option: str = "--out") -> None:
        self.path = path
        try:
            self._file = FileIO(_opened(path), "w")
        except OSError as error:
            raise UsageError(
                f"cannot write {shown(path)}: {error.strerror}", hint=f"choose another place with {option}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def documents(self) -> Iterator[dict[str, Any]]:
        return iter(())

    def append(self, document: Mapping[str, object]) -> None:
        """One more line, whole. Raises UsageError where nobody reads any more."""
        try:
            write_all(self._file, dump(document).encode() + b"\n")
        except OSError as error:
            reason = "whoever read it is gone" if isinstance(error, BrokenPipeError) else error.strerror
            raise UsageError(
                f"cannot write {shown(self.path)}: {reason}",
                hint="what was written before went through; a run into a file can go on where it ended",
            ) from error

    def keep(self, wanted: Callable[[int, dict[str, Any]], bool]) -> None:
        """What was written is gone by."""


def _opened(path: Path) -> int:
    """An open descriptor by its own name: opening it anew would begin a regular file behind it from the start."""
    number = _descriptor(path)
    return _for_a_reader(path) if number is None else os.dup(number)


def _for_a_reader(path: Path) -> int:
    """A FIFO can be opened once somebody reads it, who may never come."""
    until = time.monotonic() + _READER_SEC
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > until:
                raise OSError(errno.ENXIO, "nobody reads this pipe") from error
        time.sleep(0.05)


def _descriptor(path: Path) -> int | None:
    name = os.path.normpath(path)
    if not _DESCRIPTOR.fullmatch(name):
        return None
    return _STANDARD[name] if name in _STANDARD else int(name.rpartition("/")[2][:9])


def _is_null(found: os.stat_result) -> bool:
    try:
        return stat.S_ISCHR(found.st_mode) and os.stat(os.devnull).st_rdev == found.st_rdev  # noqa: PTH116
    except OSError:
        return False


def _is_terminal(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)
