"""Whether a file is one JPEG or a film of them: the pictures of many cameras lie one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sharpv_cli.video.local import FilePath
from sharpv_cli.video.signatures import is_jpeg

_LONGEST = 64 << 20  # bytes of one picture; a larger one ends somewhere that is not looked for
_PADDING = 4096  # bytes that may lie between two pictures
# ITU-T T.81, table B.1
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])", re.DOTALL)  # but for those that stand inside of scans
_END, _EXTENSION = 0xD9, 0xE2
_ALONE = {0x01, 0xD8}
_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def is_jpeg_film(path: FilePath, head: bytes) -> bool:
    """Whether a second picture of the same size follows the first.

    A photo may carry further pictures that belong to it (depth, brightness, the other eye): it lists them.
    """
    if not is_jpeg(head):
        return False
    with Path(path).open("rb") as file:
        data = file.read(_LONGEST)
    first = _picture(data, 0)
    if first is None or first.end is None or first.lists_others:
        return False
    place = data.find(b"\xff\xd8\xff", first.end, first.end + _PADDING)
    second = _picture(data, place) if place >= 0 else None
    return second is not None and second.size == first.size


@dataclass(frozen=True, slots=True)
class _Jpeg:
    """`size` is height and width as they are written; `end` lies behind the picture, None where it is cut off."""

    size: bytes
    lists_others: bool
    end: int | None


def _picture(data: bytes, start: int) -> _Jpeg | None:
    """The JPEG that begins there; None where it has no size."""
    size, lists_others, end = b"", False, None
    for marker, content, behind in _segments(data, start + 2):
        if marker in _SIZES:
            size = content[1:5]
        lists_others |= marker == _EXTENSION and content.startswith(b"MPF\0")
        if marker == _END:
            end = behind
    return _Jpeg(size, lists_others, end) if size else None


def _segments(data: bytes, place: int) -> Iterator[tuple[int, bytes, int]]:
    """Each marker, what belongs to it, and where that ends; up to the end of the picture."""
    while found := _MARKER.search(data, place):
        marker, place = found[1][0], found.end()
        if marker == _END:
            yield marker, b"", place
            return
        if marker not in _ALONE:
            end = place + max(2, int.from_bytes(data[place : place + 2]))
            yield marker, data[place + 2 : end], end
            place = end
