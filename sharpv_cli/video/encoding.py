"""Writing clips: for the demo, the benchmark and the tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from fractions import Fraction
from io import BufferedRandom
from itertools import chain
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from sharpv_cli.errors import UsageError
from sharpv_cli.files import replacing
from sharpv_cli.video.colours import assumed_colorspace
from sharpv_cli.video.refusals import shown

Codec = Literal["h264", "vp9", "mpeg4", "hevc", "mjpeg"]
Quality = Literal["high", "medium", "low"]

_CONTAINERS = {".mp4": "mp4", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
_ENCODERS = {
    "h264": "libx264",
    "vp9": "libvpx-vp9",
    "mpeg4": "mpeg4",
    "hevc": "libx265",
    "mjpeg": "mjpeg",
}
# Constant quality in each codec's own measure: CRF, CRF, quantizer, CRF, quantizer.
_QUALITY = {
    "h264": {"high": 18, "medium": 25, "low": 34},
    "vp9": {"high": 24, "medium": 36, "low": 50},
    "mpeg4": {"high": 2, "medium": 6, "low": 14},
    "hevc": {"high": 20, "medium": 27, "low": 36},
    "mjpeg": {"high": 2, "medium": 6, "low": 14},
}
_MATRIX_CODE = {Colorspace.ITU709: 1, Colorspace.ITU601: 6}  # ISO 23091-2, MatrixCoefficients


def write_clip(
    path: str | os.PathLike[str],
    frames: Iterable[NDArray[np.uint8]],
    fps: float,
    *,
    codec: Codec = "h264",
    quality: Quality = "medium",
    place: Callable[[int], int] = lambda index: index,
) -> None:
    """Encodes uint8 RGB frames [H, W, 3] of one even size, into the container that the suffix names.

    `place` gives a frame's time in units of 1 / fps, rising: for variable rates. The suffix is .mp4, .mkv,
    .webm (VP9 only) or .avi. The file has its name only when it is complete.
    The same frames give the same file on any number of cores. Raises UsageError when it cannot be written.
    """
    target = Path(path)
    container = _CONTAINERS[target.suffix.lower()]
    assert container != "webm" or codec == "vp9", (path, codec)
    try:
        # Matroska draws random track numbers otherwise, and mp4 writes the clock.
        reproducible = {"fflags": "bitexact"}
        with (
            replacing(target) as file,
            BufferedRandom(file) as buffered,  # FFmpeg takes a short write for a whole one
            av.open(buffered, "w", format=container, container_options=reproducible) as output,
        ):
            _encode(output, frames, Fraction(fps).limit_denominator(1001), codec, quality, place)
    except OSError as error:
        raise UsageError(
            f"{shown(path)} cannot be written: {error.strerror}", hint="choose a folder that you can write to"
        ) from error


def _encode(
    output: OutputContainer,
    frames: Iterable[NDArray[np.uint8]],
    fps: Fraction,
    codec: Codec,
    quality: Quality,
    place: Callable[[int], int],
) -> None:
    images = iter(frames)
    first = next(images)
    height, width, _ = first.shape
    matrix = assumed_colorspace(width, height)
    stream = _stream(output, width, height, fps, codec, quality)
    for index, image in enumerate(chain([first], images)):
        assert image.shape == first.shape, (index, image.shape, first.shape)
        frame = VideoFrame.from_ndarray(image, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=matrix
        )
        frame.pts, frame.time_base = place(index), 1 / fps
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def _stream(
    output: OutputContainer, width: int, height: int, fps: Fraction, codec: Codec, quality: Quality
) -> VideoStream:
    assert width % 2 == 0, width
    assert height % 2 == 0, height
    stream = output.add_stream(_ENCODERS[codec], rate=fps, options=_options(codec, quality))
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    context = stream.codec_context
    context.colorspace = _MATRIX_CODE[assumed_colorspace(width, height)]
    context.thread_count = 1  # encoders decide otherwise with another number of threads
    return stream


def _options(codec: Codec, quality: Quality) -> dict[str, str]:
    value = str(_QUALITY[codec][quality])
    if codec == "h264":
        return {"crf": value, "preset": "veryfast"}
    if codec == "vp9":
        return {"crf": value, "b": "0", "deadline": "realtime", "cpu-used": "7"}
    if codec == "hevc":
        return {
            "crf": value,
            "preset": "ultrafast",
            "x265-params": "log-level=none:pools=none:frame-threads=1",
        }
    own = {"strict": "unofficial"} if codec == "mjpeg" else {}  # its levels are those of video, not JPEG's
    return {"qmin": value, "qmax": value, **own}
