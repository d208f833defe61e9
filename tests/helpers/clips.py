"""Encodes small clips whose frames carry their own number, so that a decoded picture says which frame it is.

The number is burnt in as black and white blocks along the top edge. `decoded` reads a whole file front to
back with PyAV's defaults: the reference that sampled frames are compared with.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BITS = 8
SIZE = (160, 96)

_THREADS = (
    3  # an encoder decides otherwise with another number, and its own choice is by the cores of the machine
)
_FAST = {
    "libx264": {"preset": "ultrafast", "crf": "18"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "b": "2M"},
}


def numbered(number: int, width: int = SIZE[0], height: int = SIZE[1]) -> NDArray[np.uint8]:
    """A gradient that moves with the number, which is written over its top quarter. RGB [H, W, 3]."""
    image = np.empty((height, width, 3), np.uint8)
    image[..., 0] = (np.arange(width) * 200 // width)[None] + number % 50
    image[..., 1] = (np.arange(height) * 200 // height)[:, None] + number % 40
    image[..., 2] = 90
    block = width // BITS
    for bit in range(BITS):
        image[: height // 4, bit * block : (bit + 1) * block] = 255 * (number >> bit & 1)
    return image


def number_of(image: NDArray[np.uint8]) -> int:
    """The number that `numbered` wrote, also after lossy coding or scaling."""
    height, width = image.shape[:2]
    row = image[height // 16 : height * 3 // 16].mean((0, 2))
    centres = [int((bit + 0.5) * width / BITS) for bit in range(BITS)]
    return sum(int(row[x - 2 : x + 3].mean() > 127) << bit for bit, x in enumerate(centres))


def encode(
    path: Path,
    count: int = 40,
    *,
    codec: str = "libx264",
    size: tuple[int, int] = SIZE,
    fps: int = 25,
    pix_fmt: str = "yuv420p",
    container: str | None = None,
    options: dict[str, str] | None = None,
    mux: dict[str, str] | None = None,
    pts: Callable[[int], int] = lambda number: number,
    time_base: Fraction | None = None,
    aspect: Fraction | None = None,
    images: Callable[[int, int, int], NDArray[np.uint8]] = numbered,
    source: str = "rgb24",
) -> Path:
    """Writes `count` frames; `pts` gives each one's time in units of `time_base` (1 / fps by default)."""
    base = time_base or Fraction(1, fps)
    with av.open(str(path), "w", format=container, container_options=mux or {}) as output:
        stream = output.add_stream(codec, rate=fps, options={**_FAST.get(codec, {}), **(options or {})})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.time_base = base
        stream.codec_context.thread_count = _THREADS
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(images(number, *size), format=source).reformat(format=pix_fmt)
            frame.pts, frame.time_base = pts(number), base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def decoded(path: Path) -> list[tuple[int | None, NDArray[np.uint8]]]:
    """Every frame front to back, (pts, RGB as coded: not turned, not scaled); damaged packets are skipped."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.codec_context.thread_type = "NONE"
        for packet in container.demux(stream):
            try:
                frames += [(frame.pts, frame.to_ndarray(format="rgb24")) for frame in packet.decode()]
            except av.FFmpegError:
                continue
    return frames


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """The MP4 boxes side by side in a range: name, where the content begins, where it ends."""
    end = len(data) if end is None else end
    while start < end - 8:
        size, name = struct.unpack(">I4s", data[start : start + 8])
        yield name, start + 8, start + size
        start += size


def find_box(data: bytes, *path: bytes) -> tuple[int, int]:
    """Where the content of the first box at this path begins and ends."""
    start, end = 0, len(data)
    for wanted in path:
        start, end = next((s, e) for name, s, e in boxes(data, start, end) if name == wanted)
    return start, end


def with_matrix(path: Path, source: Path, quarter: tuple[int, int, int, int]) -> Path:
    """A copy of an MP4 file whose track header has the display matrix [[a, b], [c, d]]."""
    data = bytearray(source.read_bytes())
    header, _ = find_box(bytes(data), b"moov", b"trak", b"tkhd")
    a, b, c, d = (value << 16 for value in quarter)
    data[header + 40 : header + 76] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def with_boxes(path: Path, source: Path, *added: bytes) -> Path:
    """A copy of an MP4 file, whose index comes last, with more boxes in the entry that describes its video."""
    data = bytearray(source.read_bytes())
    extra = b"".join(added)
    places = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"]
    entry = find_box(bytes(data), *places)[0] + 8
    starts = [find_box(bytes(data), *places[: depth + 1])[0] - 8 for depth in range(len(places))]
    for start in (*starts, entry):
        (size,) = struct.unpack_from(">I", data, start)
        struct.pack_into(">I", data, start, size + len(extra))
        end = start + size
    data[end:end] = extra
    path.write_bytes(data)
    return path


def clap(size: tuple[int, int], left: int, top: int, right: int, bottom: int) -> bytes:
    """An MP4 clean aperture box (ISO 14496-12, 12.1.4): the size that is shown, and how far off the centre."""
    width, height = size[0] - left - right, size[1] - top - bottom
    numbers = (width, 1, height, 1, left - right, 2, top - bottom, 2)
    return struct.pack(">I4s8i", 40, b"clap", *numbers)


def dolby_vision(profile: int, compatible: int) -> bytes:
    """An MP4 Dolby Vision configuration box, of level 1 and without an enhancement layer."""
    record = bytes([1, 0, profile << 1, 1 << 3 | 5, compatible << 4]) + bytes(19)
    return struct.pack(">I4s", 32, b"dvcC" if profile <= 7 else b"dvvC") + record


def with_late_sound(path: Path, source: Path, after_ms: int) -> Path:
    """A copy of an FLV with sound from that time on, of which the header says nothing."""
    data, place = source.read_bytes(), 13
    copy = bytearray(data[:place])
    copy[4] = 1  # pictures only
    while place < len(data):
        end = place + 11 + int.from_bytes(data[place + 1 : place + 4]) + 4
        copy += data[place:end]
        if data[place] == 9 and int.from_bytes(data[place + 4 : place + 7]) >= after_ms:
            sound = b"\x3f" + bytes(400)  # PCM
            tag = b"\x08" + len(sound).to_bytes(3) + data[place + 4 : place + 8] + bytes(3) + sound
            copy += tag + len(tag).to_bytes(4)
        place = end
    path.write_bytes(copy)
    return path


def with_samples(path: Path, source: Path, count: int) -> Path:
    """An MP4 of the same stream whose index names so many samples of one byte each; the file holds the bytes."""
    data, table = source.read_bytes(), [b"moov", b"trak", b"mdia", b"minf", b"stbl"]

    def kept(*names: bytes, inside: int) -> bytes:
        return b"".join(_box(name, slice_of(*table[:inside], name)) for name in names)

    def slice_of(*names: bytes) -> bytes:
        start, end = find_box(data, *names)
        return data[start:end]

    head = kept(b"ftyp", inside=0)
    index = kept(b"stsd", inside=5) + b"".join(
        _box(name, bytes(4), struct.pack(f">{len(numbers)}I", *numbers))
        for name, numbers in (
            (b"stts", (1, count, 1)),
            (b"stsc", (1, 1, count, 1)),
            (b"stsz", (1, count)),
            (b"stco", (1, len(head) + 8)),
        )
    )
    for depth, names in ((4, (b"vmhd", b"dinf")), (3, (b"mdhd", b"hdlr")), (2, (b"tkhd",)), (1, (b"mvhd",))):
        index = kept(*names, inside=depth) + _box(table[depth], index)
    path.write_bytes(head + _box(b"mdat", bytes(count)) + _box(b"moov", index))
    return path


def _box(name: bytes, *parts: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, parts)), name) + b"".join(parts)
