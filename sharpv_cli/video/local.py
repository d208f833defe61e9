"""A video that lies on this machine, whatever it came from, and the limits under which it is read."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

from sharpv_cli.text import address_without_secrets

FilePath = str | os.PathLike[str]

_OWN = re.compile(r"/(?:dev|proc/self)/(?:fd/(\d+)|stdin)")  # means another file in each process


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one video may cost, and what is accepted as one. The fields are the settings' `video` group.

    `max_pixels` counts those of one picture, `max_bytes` those that are copied from a stream or a URL, and
    `timeout` is in seconds of wall clock: for fetching the video, and again for reading it.
    """

    allow_url: bool = False
    picture: bool = False
    max_pixels: int = 36_000_000  # 8K is 33 megapixels; a GIF of 5 kB can claim 64 of them, 200 times
    max_bytes: int = 8 << 30
    timeout: float = 300.0

    def __post_init__(self) -> None:
        assert self.max_pixels > 0, self.max_pixels
        assert self.max_bytes > 0, self.max_bytes
        assert self.timeout > 0, self.timeout


@dataclass(frozen=True, slots=True)
class LocalVideo(os.PathLike[str]):
    """A regular file to read, `path`, under the `name` by which the user knows it.

    It is a path like any other to whoever opens it. `notes` are warnings that its readers hand on. `private`: it is a
    copy that nobody else writes to. `folder` is where relative names begin, None where this process works.
    """

    path: str
    name: str
    limits: Limits = Limits()
    notes: tuple[str, ...] = ()
    private: bool = False
    folder: str | None = None

    def __fspath__(self) -> str:
        return self.path

    __str__ = __fspath__

    def for_others(self) -> LocalVideo:
        """As another process of this user finds it, which works in another folder and has other descriptors."""
        own = _OWN.fullmatch(self.path)
        there = f"/proc/{os.getpid()}/fd/{(own[1] or '0') if own else ''}"
        path = there if own and os.path.exists(there) else self.path  # noqa: PTH110 - where there is no /proc
        return replace(self, path=path, folder=os.getcwd())  # noqa: PTH109 - pathlib says no more


def name_of(path: FilePath) -> str:
    """The name by which the user knows the file, without the passwords that an address may hold."""
    return path.name if isinstance(path, LocalVideo) else address_without_secrets(os.fsdecode(path))


def named(source: str) -> str:
    """What a video is called wherever it is told of, by the name that the user gave."""
    return "stdin" if source == "-" else source


def limits_of(path: FilePath) -> Limits:
    return path.limits if isinstance(path, LocalVideo) else Limits()


def notes_of(path: FilePath) -> tuple[str, ...]:
    return path.notes if isinstance(path, LocalVideo) else ()


def is_private(path: FilePath) -> bool:
    """Whether it is a copy of our own, of which nobody else knows."""
    return isinstance(path, LocalVideo) and path.private
