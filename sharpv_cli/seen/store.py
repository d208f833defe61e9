"""The folder of what was seen: a file a clip, whose name says what it is of. There is no index that could be wrong.

Files are written beside and renamed, so several processes share the folder without a lock. What was not used for the
longest time goes first where there is more than the limit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sharpv_cli.files import replacing, write_all
from sharpv_cli.folders import user_folder
from sharpv_cli.seen.head import DamagedError, Head, read_head
from sharpv_cli.seen.key import Maker, VisualKey
from sharpv_cli.video.stamp import stamp

SUFFIX = ".seen"
_PARTS = ".sharpv-*.part"
_ABANDONED_SEC = 3600.0  # a process that was killed left it behind


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of the store: its bytes, and when it was used last, in seconds since 1970."""

    path: Path
    size: int
    used: float


@dataclass(frozen=True, slots=True)
class Store:
    """`most_bytes` is what all files together may have."""

    folder: Path
    most_bytes: int

    @classmethod
    def of(cls, most_bytes: int, environ: Mapping[str, str] = os.environ) -> Store | None:
        """In the user's cache; None where there is no home for one."""
        folder = user_folder("cache", environ)
        return None if folder is None else cls(folder / "seen", most_bytes)

    @property
    def digests(self) -> Path:
        """Where the digests of videos are remembered."""
        return self.folder / "digests.json"

    @property
    def announced(self) -> Path:
        """There once the user was told of this folder."""
        return self.folder / ".announced"

    def knows(self, ends: str) -> bool:
        """Whether there may be something of a video with this digest of its two ends."""
        return any(self.folder.glob(f"{ends}-*{SUFFIX}"))

    def made_of(self, ends: str, key: VisualKey) -> list[Path]:
        """All that was made with this key, whatever it was made on."""
        return sorted(self.folder.glob(f"{ends}-{key.name}-*{SUFFIX}"))

    def path(self, ends: str, key: VisualKey, maker: Maker) -> Path:
        return self.folder / f"{ends}-{key.name}-{maker.name}{SUFFIX}"

    def kept(self) -> list[Kept]:
        """All files, the last used first. Raises OSError for a folder that cannot be read."""
        found = list(self._files(f"*{SUFFIX}"))
        return sorted(found, key=lambda one: one.used, reverse=True)

    def of_video(self, video: str) -> list[tuple[Kept, Head]]:
        """All that is kept of a video: of this file's content, or of one that lay there. The last used first."""
        ends, place = ends_of(video), os.path.realpath(video)
        found = ((one, head) for one, head in self.heads() if head is not None)
        return [
            (one, head)
            for one, head in found
            if (ends and one.path.name.startswith(f"{ends}-")) or head.info.path == place
        ]

    def heads(self) -> Iterator[tuple[Kept, Head | None]]:
        """Every file with what it says of itself; None where it is damaged."""
        for one in self.kept():
            try:
                yield one, read_head(one.path)
            except (DamagedError, OSError):
                yield one, None

    def write(self, path: Path, content: bytes) -> None:
        """Put a file into the store, and others out where there are too many bytes. Raises OSError."""
        self.prepare()
        with replacing(path, rights=0o600) as file, file:
            write_all(file, content)
        self.make_room(spare=path)

    def prepare(self) -> None:
        """Make the folder, for nobody else. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder.stat().st_mode & 0o077:
            self.folder.chmod(0o700)

    def clear(self) -> int:
        """Remove everything but the mark that the user was told; how many clips that were."""
        kept = self.kept()
        for one in (*kept, *self._files(_PARTS), *self._files(self.digests.name)):
            remove(one.path)
        return len(kept)

    def make_room(self, spare: Path | None = None) -> None:
        """Down to the limit; `spare` goes last. What cannot be removed stays."""
        for part in self._files(_PARTS):
            if time.time() - part.used > _ABANDONED_SEC:
                remove(part.path)
        kept = sorted(self.kept(), key=lambda one: (one.path == spare, one.used), reverse=True)
        total = 0
        for one in kept:
            total += one.size
            if total > self.most_bytes:
                remove(one.path)

    def _files(self, pattern: str) -> Iterator[Kept]:
        for path in self.folder.glob(pattern):
            with suppress(FileNotFoundError):  # another process was quicker
                found = path.lstat()
                yield Kept(path, found.st_size, found.st_mtime)


def ends_of(video: str) -> str:
    """The digest of a video's two ends, with its size; empty where it is no file that can be read.

    Quick, however long the video is: it only says whether there may be something of it.
    """
    size, ends = stamp(video, pieces=2)
    return f"{ends}{size:x}" if ends else ""


def touch(path: Path) -> None:
    """Note that it was used now, where that can be noted."""
    with suppress(OSError):
        os.utime(path)


def remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
