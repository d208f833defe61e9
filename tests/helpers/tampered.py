"""Videos whose written times are changed after encoding, in whatever way their container writes them.

`retimed` writes a video of numbered frames (see `clips`) anew with other times: those of `ticks`, in milliseconds by
the frame's number. None leaves a time out, where the container can.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import clips

Ticks = Sequence[int | None]

STEP_MS, COUNT = 40, 60
_PES = b"\0\0\1\xe0"
_CODECS = {"webm": "libvpx", "ivf": "libvpx", "vob": "mpeg2video"}
_PACK = b"\0\0\1\xba\x44\0\4\0\4\1\1\x89\xc3\xf8"  # MPEG-PS, at a time that nobody reads


def source(folder: Path, kind: str, *, bframes: int = 0) -> Path:
    """The video to tamper with."""
    codec = _CODECS.get(kind, "libx264")
    options = {"g": "15"} | ({} if codec == "libvpx" else {"bf": str(bframes)})
    options |= {"preset": "veryfast"} if codec == "libx264" else {}
    path = folder / f"{kind}-{bframes}.{kind if kind in _EDITED else 'mkv'}"
    return path if path.exists() else clips.encode(path, COUNT, codec=codec, options=options)


def retimed(path: Path, original: Path, ticks: Ticks) -> Path:
    """A copy of the `source` in the container that the suffix of `path` names."""
    if edit := _EDITED.get(path.suffix[1:]):
        data = bytearray(original.read_bytes())
        edit(data, ticks)
        path.write_bytes(data)
    elif path.suffix == ".vob":
        path.write_bytes(b"".join(_packs(original, ticks)))
    else:
        _remuxed(path, original, ticks)
    return path


def _packs(source: Path, ticks: Ticks) -> Iterator[bytes]:
    """MPEG-PS of which every picture's time is written, which FFmpeg does of the first in 2,048 bytes only."""
    with av.open(str(source)) as given:
        packets = [packet for packet in given.demux(video=0) if packet.pts is not None]
        base = given.streams.video[0].time_base
    for place, packet in enumerate(packets):
        number = round(packet.pts * base * 1000 / STEP_MS)
        content = bytes(packet)
        head = bytearray(_PES + (13 + len(content)).to_bytes(2) + b"\x80\xc0\x0a" + b"\xff" * 10)
        head[7] = 0x80 if number < place else 0xC0  # others wait for it: it is decoded earlier
        write_in(head, 0, ticks[number])
        yield _PACK + bytes(head) + content


def _remuxed(path: Path, source: Path, ticks: Ticks) -> None:
    """Decoding times that are long before all others leave the muxers no reason to refuse."""
    base, options = Fraction(1, 1000), {"avoid_negative_ts": "disabled"}
    if path.suffix in (".mp4", ".mov"):
        options["use_editlist"] = "0"  # it would be cut to the times that are wrong
    with (
        av.open(str(source)) as given,
        av.open(str(path), "w", container_options=options) as output,
    ):
        stream = output.add_stream_from_template(given.streams.video[0])
        stream.time_base = base
        for number, packet in enumerate(given.demux(video=0)):
            if packet.pts is not None:
                packet.pts = ticks[round(packet.pts * packet.time_base * 1000 / STEP_MS)]
                packet.dts, packet.time_base, packet.stream = number - 2000, base, stream
                packet.duration = 0
                output.mux(packet)


def _in_ivf(data: bytearray, ticks: Ticks) -> None:
    data[16:24] = struct.pack("<II", 1000, 1)
    place = 32
    for time in ticks:
        (size,) = struct.unpack_from("<I", data, place)
        struct.pack_into("<q", data, place + 4, time)
        place += 12 + size


def _in_flv(data: bytearray, ticks: Ticks) -> None:
    place, numbers = 13, iter(ticks)
    while place < len(data):
        size = int.from_bytes(data[place + 1 : place + 4])
        if (
            data[place] == 9 and data[place + 12] == 1
        ):  # a video tag with a picture, and no header of the codec
            time = next(numbers) & 0xFFFFFFFF
            data[place + 4 : place + 8] = (time & 0xFFFFFF).to_bytes(3) + bytes([time >> 24])
        place += 11 + size + 4


def _in_pes(data: bytearray, ticks: Ticks) -> None:
    """MPEG-TS, in which each picture begins a packet of its own; times in units of 1/90000 s."""
    taken = timed_packets(data)
    by_time = {time: number for number, time in enumerate(sorted(written_in(data, place) for place in taken))}
    assert len(taken) == len(ticks), (len(taken), len(ticks))
    for place in taken:
        write_in(data, place, ticks[by_time[written_in(data, place)]])


def timed_packets(data: bytes) -> list[int]:
    """Where the packets begin that have a time."""
    found = (match.start() for match in re.finditer(re.escape(_PES), data))
    return [place for place in found if data[place + 7] & 0x80]


def written_in(data: bytes, place: int) -> int:
    """The time of the packet that begins there, in units of 1/90000 s."""
    a, b, c, d, e = data[place + 9 : place + 14]
    return (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1


def write_in(data: bytearray, place: int, time: int | None) -> None:
    """Give a packet this time, in milliseconds."""
    both = data[place + 7] & 0x40
    if time is None:
        data[place + 7] &= 0x3F
        data[place + 9 : place + 9 + data[place + 8]] = b"\xff" * data[place + 8]
        return
    value = time * 90 & (1 << 33) - 1
    for start, mark in ((9, 0x31 if both else 0x21), *(((14, 0x11),) if both else ())):
        if start == 14:
            value = max(0, value - 100 * 90)
        data[place + start : place + start + 5] = bytes(
            [
                mark | value >> 30 << 1,
                value >> 22 & 255,
                (value >> 15 & 127) << 1 | 1,
                value >> 7 & 255,
                (value & 127) << 1 | 1,
            ]
        )


_EDITED: dict[str, Callable[[bytearray, Ticks], None]] = {
    "ivf": _in_ivf,
    "flv": _in_flv,
    "ts": _in_pes,
}
