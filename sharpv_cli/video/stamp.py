"""What tells one video file from another in its place: its content, of long ones many pieces of it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator

_PIECE, _PIECES = 1 << 20, 64  # up to so many bytes all is read


def stamp(path: str, pieces: int = _PIECES) -> tuple[int, str]:
    """Its bytes and a digest of its content; 0 and nothing where it is no file that can be read.

    Sizes and times are the same after a copy that keeps them. Of more MiB than `pieces`, at least 2, so many are read,
    the first and the last among them: another film differs everywhere.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - before it is opened: a pipe would wait
        if not stat.S_ISREG(found.st_mode):
            return 0, ""
        digest = hashlib.sha256()
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            for place in _places(found.st_size, pieces):
                file.seek(place)
                digest.update(file.read(_PIECE))
        return found.st_size, digest.hexdigest()[:16]
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return 0, ""


def _places(size: int, pieces: int) -> Iterator[int]:
    if size <= _PIECE * pieces:
        yield from range(0, size, _PIECE)
    else:
        yield from ((size - _PIECE) * number // (pieces - 1) for number in range(pieces))
