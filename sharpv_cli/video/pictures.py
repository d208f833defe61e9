"""What FFmpeg does not read as a film, and Pillow does: animated WebP, and still pictures.

They are written out as a film of lossless pictures, which then goes the way of all others.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from sharpv_cli.errors import VideoError
from sharpv_cli.text import printable
from sharpv_cli.video.jpegs import is_jpeg_film
from sharpv_cli.video.local import LocalVideo
from sharpv_cli.video.refusals import check_pixels, shown
from sharpv_cli.video.signatures import is_animated_webp, is_picture, is_still_heif
from sharpv_cli.video.spooling import Copy

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")  # Pillow knows more, some by other programs
_MOST = 100_000  # pictures of a WebP: libwebp looks for each from the first on
_STILL_MS = 40
_LEAST_MS, _UNSET_MS = 11, 100  # browsers take a shorter delay than the first for "none was set"
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
# What Pillow's readers raise on damaged files.
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, struct.error, zlib.error)


def needs_pillow(video: LocalVideo, head: bytes) -> bool:
    """Whether the file, which begins with `head`, is an animated WebP, or a still where those are asked for."""
    if is_animated_webp(head):
        return True
    stills = is_picture(head) or is_still_heif(head) or head.startswith(b"GIF8")
    return video.limits.picture and stills and not _moves(video, head)


def left_out(picture: LocalVideo, head: bytes) -> tuple[str, ...]:
    """What to say where the file holds more pictures than the first one, which is taken."""
    if is_animated_webp(head):
        return ()
    if is_jpeg_film(picture, head) or _pages(picture, head) > 1:
        return ("the file holds more pictures than the one that is taken, the first",)
    return ()


def _pages(picture: LocalVideo, head: bytes) -> int:
    """Of a TIFF; what other kinds hold beside their picture belongs to it."""
    if not head.startswith((b"II*\0", b"MM\0*")):
        return 1
    with Image.open(picture.path, formats=("TIFF",)) as image:
        return getattr(image, "n_frames", 1)


def _moves(video: LocalVideo, head: bytes) -> bool:
    """GIF and APNG are FFmpeg's where they have several pictures, and where Pillow cannot tell."""
    if not head.startswith((b"GIF8", b"\x89PNG")):
        return False
    try:
        with Image.open(video.path, formats=("GIF", "PNG")) as image:
            return getattr(image, "n_frames", 1) > 1
    except (*_BOMBS, *_DAMAGE):
        return True


def as_film(picture: LocalVideo, copy: Copy) -> None:
    """Write the pictures, upright, as PNG in a MOV file, with their times in ms. Raises VideoError."""
    name = shown(picture)
    try:
        with Image.open(picture.path, formats=_FORMATS) as image:
            check_pixels(picture, *image.size)
            if image.format == "WEBP" and getattr(image, "n_frames", 1) > _MOST:
                raise VideoError(f"{name} has more than {_MOST:,} pictures", hint="convert it to MP4 first")
            _write(image, copy)
    except UnidentifiedImageError as error:
        said = f"{name} is a picture of a kind that is not read, or it is damaged"
        raise VideoError(said, hint="convert it to JPEG or PNG first") from error
    except _BOMBS as error:
        said = f"{name} has pictures that are too large: {error}"
        raise VideoError(said, hint="scale it down first") from error
    except _DAMAGE as error:
        raise VideoError(
            f"{name} is a damaged picture: {printable(str(error))}", hint="get the file again"
        ) from error


def _write(image: Image.Image, copy: Copy) -> None:
    mode = "RGBA" if image.has_transparency_data else "RGB"
    # In fragments, because a copy is only ever appended to.
    mux = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(copy, "w", format="mov", container_options=mux) as output:
        stream: VideoStream | None = None
        start, durations = 0, {}
        for pixels, duration in _pictures(image, mode):
            if stream is None:
                stream = _stream(output, pixels)
            frame = VideoFrame.from_ndarray(pixels, format="rgba" if mode == "RGBA" else "rgb24")
            frame.pts, frame.time_base = start, Fraction(1, 1000)
            durations[start] = duration
            start += duration
            _mux(output, stream, frame, durations)
        if stream is not None:
            _mux(output, stream, None, durations)


def _pictures(image: Image.Image, mode: str) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Each picture of an animated WebP, or the first of any other file: uint8 [H, W, 3 or 4], and its ms."""
    count = getattr(image, "n_frames", 1) if image.format == "WEBP" else 1
    for number in range(count):
        image.seek(number)
        image.load()
        shown_ms = int(image.info.get("duration", 0)) if count > 1 else _STILL_MS
        upright = ImageOps.exif_transpose(_eight_bit(image))
        yield np.asarray(upright.convert(mode)), shown_ms if shown_ms >= _LEAST_MS else _UNSET_MS


def _eight_bit(image: Image.Image) -> Image.Image:
    """Pillow cuts 16-bit grey off at 255 instead of scaling it."""
    if not image.mode.startswith("I;16"):
        return image
    scaled = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    scaled.info = image.info
    return scaled


def _stream(output: OutputContainer, pixels: NDArray[np.uint8]) -> VideoStream:
    stream = output.add_stream("png", rate=25, options={"compression_level": "1"})
    assert isinstance(stream, VideoStream)
    stream.height, stream.width, channels = pixels.shape
    stream.pix_fmt = "rgba" if channels == 4 else "rgb24"
    stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
    return stream


def _mux(
    output: OutputContainer, stream: VideoStream, frame: VideoFrame | None, durations: dict[int, int]
) -> None:
    for packet in stream.encode(frame):
        assert packet.pts is not None
        packet.duration = durations.pop(packet.pts)
        output.mux(packet)
