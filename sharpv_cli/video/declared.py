"""What the container says of a stream beside its packets: which Dolby Vision it is, and what to crop.

PyAV hands out neither, but it prints what FFmpeg's `av_dump_format` describes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
from av.container import InputContainer
from av.video.stream import VideoStream

# Dolby Vision profiles whose base layer is SDR, HDR10 or HLG. The others' is not, unless the record says so.
_COMPATIBLE = {0, 2, 4, 6, 7, 8, 9}

_DOLBY_TAGS = {"dvh1", "dvhe", "dva1", "dvav", "dav1"}
_UNKNOWN_DOLBY = "the video is Dolby Vision of an unknown profile: colours may be wrong"

_STREAM = re.compile(r"^  Stream #0:(\d+)", re.MULTILINE)
_DOLBY = re.compile(
    r"^      DOVI configuration record:.* profile: (\d+),.* compatibility id: (\d+)", re.MULTILINE
)
_CROPPING = re.compile(r"^      Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Crop:
    """Pixels to cut off at each side of pictures of `width` x `height`, as they are coded."""

    width: int = 0
    height: int = 0
    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    @property
    def inside(self) -> tuple[int, int]:
        """Width and height of what is left."""
        return self.width - self.left - self.right, self.height - self.top - self.bottom

    def fits(self, width: int, height: int) -> bool:
        return (width, height) == (self.width, self.height)


@dataclass(frozen=True, slots=True)
class Declared:
    """`dolby_vision` is a profile that only Dolby's own decoders show rightly, such as 5.

    `warnings` are sentences for the user.
    """

    crop: Crop | None = None
    dolby_vision: int | None = None
    warnings: tuple[str, ...] = ()


def declared(container: InputContainer, stream: VideoStream) -> Declared:
    """To be called before anything is decoded: PyAV must not log from FFmpeg's threads."""
    described = _described(container, stream.index)
    crop = _crop(_CROPPING.search(described), stream)
    dolby = _DOLBY.search(described)
    if dolby is None:
        unknown = stream.codec_context.codec_tag in _DOLBY_TAGS
        return Declared(crop, warnings=(_UNKNOWN_DOLBY,) if unknown else ())
    profile, compatible = map(int, dolby.groups())
    return Declared(crop, None if compatible or profile in _COMPATIBLE else profile)


def _described(container: InputContainer, index: int) -> str:
    """FFmpeg's lines about one stream."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        text: str = cast(Any, container).dumps_format()  # PyAV's stub does not know it
    finally:
        av.logging.set_level(before)
    parts = _STREAM.split(text)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(str(index), "")


def _crop(found: re.Match[str] | None, stream: VideoStream) -> Crop | None:
    """None where there is nothing to crop, or more than there is."""
    if found is None:
        return None
    left, right, top, bottom = map(int, found.groups())
    crop = Crop(stream.width, stream.height, left, top, right, bottom)
    return crop if min(crop.inside) > 0 and crop.inside != (crop.width, crop.height) else None


def pixel_aspect(stream: VideoStream, crop: Crop | None) -> Fraction | None:
    """The width of a pixel over its height.

    Matroska's display size is that of the cropped picture, and so FFmpeg reads it. Many files give the size of the
    whole picture instead, and mpv reads all files so. Of both, the one that leaves pixels nearer to squares is meant.
    """
    aspect = stream.sample_aspect_ratio
    if not aspect or crop is None or "matroska" not in stream.container.format.name:
        return aspect
    width, height = crop.inside
    of_whole = aspect * Fraction(width, crop.width) / Fraction(height, crop.height)
    return min(aspect, of_whole, key=lambda ratio: max(ratio, 1 / ratio))
