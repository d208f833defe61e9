"""Digests of large files, remembered by what the system says of them: that changes whenever somebody writes to them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sharpv_cli.errors import UsageError
from sharpv_cli.files import write_whole
from sharpv_cli.smallfile import read_text

_LARGE_BYTES = 1 << 20  # smaller ones are read as quickly as looked up
_SETTLED_SEC = (
    2.0  # the longest tick of a file system's clock, within which a file may be written again unseen
)
_MOST = 4096  # digests that are remembered
_MOST_BYTES = 16 << 20

Facts = tuple[int, int, int, int, int]
"""What the system says of a file: device, inode, size, and when its content and its entry changed, in ns."""


def facts_of(file: str | os.PathLike[str]) -> Facts:
    """Raises OSError."""
    found = os.stat(file)  # noqa: PTH116 - a descriptor's name in /proc is followed
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_settled(facts: Facts) -> bool:
    """Whether a change from now on would change these facts: clocks of file systems tick slowly."""
    return time.time() - max(facts[3:]) / 1e9 > _SETTLED_SEC


def digest_of(file: str | os.PathLike[str]) -> str:
    """SHA-256 of the content. Raises OSError."""
    with open(file, "rb") as stream:  # noqa: PTH123
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Remembered:
    """Digests from earlier runs, in the JSON file `path`; in none where that is None."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known = {} if path is None else _known(path)
        self._new: dict[str, str] = {}

    def known(self, file: str | os.PathLike[str]) -> str | None:
        """The digest, where it is remembered of the file as it is now. Raises OSError."""
        return self._known.get(_key(file, facts_of(file)))

    def digest(self, file: str | os.PathLike[str]) -> str:
        """Raises OSError."""
        facts = facts_of(file)
        key = _key(file, facts)
        if (known := self._known.get(key)) is not None:
            return known
        found = digest_of(file)
        if facts[2] > _LARGE_BYTES and is_settled(facts) and facts_of(file) == facts:
            self._new[key] = found
        return found

    def save(self) -> None:
        """For the next run; it is no fault where that cannot be."""
        if not self._new or self._path is None:
            return
        kept = dict(_last([*self._known.items(), *self._new.items()]))
        with suppress(OSError, UsageError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(kept).encode())


def _key(file: str | os.PathLike[str], facts: Facts) -> str:
    return json.dumps([os.path.realpath(file), *facts])


def _known(path: Path) -> dict[str, str]:
    try:
        content = json.loads(read_text(path, most=_MOST_BYTES))
    except (UsageError, ValueError, RecursionError):
        return {}
    items = content.items() if isinstance(content, dict) else ()
    return {key: value for key, value in items if isinstance(value, str)}


def _last(items: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(items)[-_MOST:]
