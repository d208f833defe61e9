"""Films that lie one behind the other in a file (`cat a.mp4 b.mp4`), of which FFmpeg reads the first one only."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import BinaryIO

from sharpv_cli.units import memory_size
from sharpv_cli.video.local import FilePath

# How files begin of which FFmpeg does not read a second one, each long enough to be no accident.
_HEAD = re.compile(
    rb"\0\0\0[\x08-\xff]ftyp|FLV\x01[\0-\x05]\0\0\0\x09\0\0\0\0|\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c"
    rb"|YUV4MPEG2 W|\x89PNG\r\n\x1a\n\0\0\0\rIHDR|DKIF\0\0 \0|nut/multimedia container\0"
    rb"|\x1a\x45\xdf\xa3[\x80-\xff\x01].{0,60}(?:webm|matroska)|RIFF....AVI LIST|GIF8[79]a",
    re.DOTALL,
)
_PICTURES = (b"\x89PNG", b"GIF8")  # may lie in a film, as the cover that Matroska attaches
_LONGEST_HEAD = 80
_TAKEN = 16  # bytes of the second's head that may be taken for that of a packet (IVF, NUT)
_SEARCHED, _CHUNK = 64 << 20, 1 << 20  # bytes behind the last picture: sound and an index may follow it


def unread(path: FilePath, formats: list[str], last: int) -> tuple[str, ...]:
    """What to say where another film begins behind the place of the `last` packet that was read."""
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        start = _second_box(file, size) if "mov" in formats else _second_head(file, max(1, last - _TAKEN))
    if start is None or start < last - _TAKEN:
        return ()
    return (
        f"the last {memory_size(size - start)} of the file are another film behind the first, and are not read: "
        "give each in a file of its own, or join them with ffmpeg",
    )


def _second_box(file: BinaryIO, size: int) -> int | None:
    """Where an MP4 begins anew, or what follows its boxes begins like a film (ISO 14496-12, 4.2)."""
    place = 0
    while place < size:
        file.seek(place)
        head = file.read(_LONGEST_HEAD)
        if place and _HEAD.match(head):
            return place
        length = struct.unpack(">Q", head[8:16])[0] if head[:4] == b"\0\0\0\1" and len(head) > 15 else 0
        length = length or int.from_bytes(head[:4])
        if length < 8:  # 0 means "to the end of the file"
            return None
        place += length
    return None


def _second_head(file: BinaryIO, start: int) -> int | None:
    file.seek(0)
    own = file.read(4)
    file.seek(start)
    before, place = b"", start
    while place < start + _SEARCHED and (chunk := file.read(_CHUNK)):
        for found in _HEAD.finditer(before + chunk):
            if own in _PICTURES or not found[0].startswith(_PICTURES):
                return place - len(before) + found.start()
        place += len(chunk)
        before = (before + chunk)[-_LONGEST_HEAD:]
    return None
