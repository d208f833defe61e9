"""A file that is appended to, written anew from parts of itself: by a rename, or in place where none can be.

In place, the parts are copied to the end of the file first, and a mark behind them says where the copy begins and how
long it is. Only then is the copy moved to the front, which `finish` does again after a crash: at no moment is a part
there less than once.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from pathlib import Path

from sharpv_cli.files import NO_RENAME, replacing, write_all

Part = tuple[int, int]
"""From byte, to byte."""

MARK = b'{"schema": "sharpv.kept/1", "from": '
_LONGEST_MARK = 200
_CHUNK = 1 << 20


def open_for_both(path: Path) -> FileIO:
    """`path`, made where it is missing, for appending and for `keep`. Raises OSError where one of them cannot be."""
    file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOCTTY | os.O_CLOEXEC, 0o666), "r+")
    _append_only(file, True)
    return file


def keep(file: FileIO, path: Path, parts: Iterable[Part]) -> FileIO:
    """Leave these parts of the file and nothing else; the file to go on with, locked. Raises OSError."""
    try:
        return _replaced(file, path, list(parts))
    except OSError as error:
        if error.errno not in NO_RENAME:
            raise
    _rewrite(file, list(parts))
    return file


def finish(file: FileIO) -> None:
    """Do to its end what a crash has cut short. Raises OSError."""
    size = file.seek(0, os.SEEK_END)
    last = os.pread(file.fileno(), _LONGEST_MARK, max(0, size - _LONGEST_MARK)).rpartition(MARK)
    if not last[1] or not last[2].endswith(b"}\n"):
        return
    with suppress(ValueError, KeyError, TypeError):  # someone's own line that looks like one
        mark = json.loads(MARK + last[2])
        begin, length = mark["from"], mark["bytes"]
        if begin + length + len(MARK + last[2]) == size and 0 <= length <= begin:
            _to_front(file, begin, length)


def _replaced(file: FileIO, path: Path, parts: Iterable[Part]) -> FileIO:
    with replacing(path) as new:
        _copy(file, parts, new)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(new, fcntl.LOCK_EX)  # before it has the name under which others would lock it
    _append_only(new, True)
    file.close()
    return new


def _rewrite(file: FileIO, parts: Iterable[Part]) -> None:
    begin = file.seek(0, os.SEEK_END)
    try:
        _copy(file, parts, file)
        length = file.seek(0, os.SEEK_END) - begin
        write_all(file, MARK + b'%d, "bytes": %d}\n' % (begin, length))
        os.fsync(file.fileno())
    except OSError:
        file.truncate(begin)
        raise
    _to_front(file, begin, length)


def _to_front(file: FileIO, begin: int, length: int) -> None:
    _append_only(file, False)  # a write would go to the end wherever it is meant to
    try:
        for offset in range(0, length, _CHUNK):
            chunk = os.pread(file.fileno(), min(_CHUNK, length - offset), begin + offset)
            file.seek(offset)
            write_all(file, chunk)
        os.fsync(file.fileno())
        file.truncate(length)
    finally:
        _append_only(file, True)


def _copy(source: FileIO, parts: Iterable[Part], target: FileIO) -> None:
    for begin, end in parts:
        for offset in range(begin, end, _CHUNK):
            write_all(target, os.pread(source.fileno(), min(_CHUNK, end - offset), offset))


def _append_only(file: FileIO, wanted: bool) -> None:
    flags = fcntl.fcntl(file, fcntl.F_GETFL) & ~os.O_APPEND
    fcntl.fcntl(file, fcntl.F_SETFL, flags | os.O_APPEND if wanted else flags)
