"""From a decoded frame to the RGB picture that a player would show."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, ColorTrc, Interpolation
from numpy.typing import NDArray

from sharpv_cli.errors import ResourceError
from sharpv_cli.video.deinterlace import deinterlaced
from sharpv_cli.video.tonemap import PEAK_NITS, Transfer, to_sdr

# Larger pictures are scaled down while they are converted, so that memory is bounded whatever the resolution.
# Models resize far below this: the largest shipped profile sees 384x384 a tile.
MAX_FRAME_PIXELS = 1_000_000
# A sample of very many frames has less for each, down to what the smallest vision tower sees.
MAX_SAMPLE_BYTES = 4 << 30
MIN_FRAME_PIXELS = 224 * 224

_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED; PyAV's Colorspace names swscale's constants instead
_HDR: dict[int, Transfer] = {ColorTrc.SMPTE2084: "PQ", ColorTrc.ARIB_STD_B67: "HLG"}

# The 2x2 part [[a, b], [c, d]] of a display matrix that acts on row vectors, (x', y') = (x, y) . M, as
# clockwise quarter turns followed by a left-right mirror. PyAV's `frame.rotation` says wrong angles for the
# mirrored ones.
_TURNS = {
    (1, 0, 0, 1): (0, False),
    (0, 1, -1, 0): (1, False),
    (-1, 0, 0, -1): (2, False),
    (0, -1, 1, 0): (3, False),
    (-1, 0, 0, 1): (0, True),
    (0, 1, 1, 0): (1, True),
    (1, 0, 0, -1): (2, True),
    (0, -1, -1, 0): (3, True),
}


@dataclass(frozen=True, slots=True)
class Pose:
    """Clockwise quarter turns, then whether to mirror left and right; `rotation` is what PyAV makes of both."""

    turns: int = 0
    mirrored: bool = False
    rotation: int = 0

    @classmethod
    def of(cls, frame: VideoFrame) -> Pose:
        """As the frame's side data say. They and the frame then hold each other until garbage is collected."""
        return cls(*_orientation(frame), frame.rotation)

    def still(self, frame: VideoFrame) -> Pose:
        """The pose of a later frame of the same stream: the same, unless its rotation is another.

        Looking at the side data of each would keep hundreds of frames alive.
        """
        return self if frame.rotation == self.rotation else Pose.of(frame)


UPRIGHT = Pose()


@dataclass(frozen=True, slots=True)
class Shape:
    """How a frame is displayed: pixels after sample aspect ratio and turn, and the pose."""

    width: int
    height: int
    pose: Pose = UPRIGHT

    @classmethod
    def of(cls, frame: VideoFrame, aspect: Fraction | None) -> Shape:
        """`aspect` is the sample aspect ratio, the width of a pixel over its height; None is square."""
        width, height = max(1, round(frame.width * _sane(aspect))), frame.height
        pose = Pose.of(frame)
        return cls(height, width, pose) if pose.turns % 2 else cls(width, height, pose)

    def bounded(self, count: int) -> tuple[int, int]:
        """Width and height to convert to when `count` frames are held: within both limits, the shape kept.

        Raises ResourceError when so many frames do not fit.
        """
        count = max(count, 1)
        each = min(MAX_FRAME_PIXELS, MAX_SAMPLE_BYTES // (3 * count))
        if each < min(MIN_FRAME_PIXELS, self.width * self.height):
            raise ResourceError(
                f"{count} frames of {self.width}x{self.height} do not fit in {MAX_SAMPLE_BYTES >> 30} GiB",
                hint="take fewer frames: a lower --fps, or --max-frames",
            )
        shrink = min(1.0, math.sqrt(each / (self.width * self.height)))
        return max(1, int(self.width * shrink)), max(1, int(self.height * shrink))


def canvas(shape: Shape, count: int) -> NDArray[np.uint8]:
    """Room for `count` frames of one size, uint8 RGB [count, H, W, 3]. Raises ResourceError."""
    width, height = shape.bounded(count)
    return np.empty((count, height, width, 3), np.uint8)


def render(frame: VideoFrame, width: int, height: int, pose: Pose) -> NDArray[np.uint8]:
    """The frame as displayed: turned, mirrored, scaled, on white under alpha. uint8 RGB [height, width, 3].

    `pose` is that of the stream's first frame. A view of a buffer of its own: copy it to where it is to stay.
    """
    pose = pose.still(frame)
    if frame.interlaced_frame:
        frame = deinterlaced(frame)
    size = (height, width) if pose.turns % 2 else (width, height)
    image = np.rot90(_rgb(frame, *size), -pose.turns)
    return image[:, ::-1] if pose.mirrored else image


def colour_warnings(frame: VideoFrame) -> tuple[str, ...]:
    """What a viewer of this frame should know."""
    said = []
    if transfer := _HDR.get(frame.color_trc):
        said.append(
            f"the video is HDR ({transfer}): its pictures are tone-mapped to SDR, for a peak of "
            f"{PEAK_NITS:.0f} cd/m2"
        )
    if frame.interlaced_frame:
        said.append("the video is interlaced: each picture is made from one of its two fields")
    return tuple(said)


def assumed_colorspace(width: int, height: int) -> Colorspace:
    """The matrix that players take for untagged video: BT.709 for HD, else BT.601 (the rule is mpv's)."""
    return Colorspace.ITU709 if width >= 1280 or height > 576 else Colorspace.ITU601


def _sane(aspect: Fraction | None) -> Fraction:
    """Square pixels where the ratio is unset, or one that no format has."""
    return aspect if aspect and Fraction(1, 8) <= aspect <= 8 else Fraction(1)


def _orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Clockwise quarter turns, then whether to mirror left and right. Other transformations are ignored."""
    side_data = cast(SideDataContainer, frame.side_data)  # PyAV's stub knows motion vectors only
    if Type.DISPLAYMATRIX not in side_data:
        return 0, False
    a, b, _, c, d, *_ = struct.unpack("<9i", bytes(side_data[Type.DISPLAYMATRIX]))
    row_x, row_y = math.hypot(a, b) or 1, math.hypot(c, d) or 1
    rounded = (round(a / row_x), round(b / row_x), round(c / row_y), round(d / row_y))
    return _TURNS.get(rounded, (0, False))


def _rgb(frame: VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
    transfer = _HDR.get(frame.color_trc)
    if _has_alpha(frame):
        frame = VideoFrame.from_ndarray(_on_white(frame), format="rgb24")
    shrinks = width * height < frame.width * frame.height
    untagged = frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb
    out = frame.reformat(
        threads=1,  # by default one for each core, started anew for each picture
        width=width,
        height=height,
        format="rgb48le" if transfer else "rgb24",
        src_colorspace=assumed_colorspace(frame.width, frame.height) if untagged else None,
        interpolation=Interpolation.AREA if shrinks else Interpolation.BILINEAR,
    )
    return to_sdr(_pixels(out, 6).view("<u2"), transfer) if transfer else _pixels(out, 3)


def _pixels(frame: VideoFrame, size: int) -> NDArray[np.uint8]:
    """The bytes of a packed frame, `size` of them a pixel, [H, W, size], not copied.

    `to_ndarray` takes several times as long in a thread, where each new buffer of this size is mapped afresh.
    """
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height]
    return rows[:, : size * frame.width].reshape(frame.height, frame.width, size)


def _has_alpha(frame: VideoFrame) -> bool:
    return frame.format.has_palette or any(component.is_alpha for component in frame.format.components)


def _on_white(frame: VideoFrame) -> NDArray[np.uint8]:
    rgba = frame.reformat(format="rgba", threads=1).to_ndarray().astype(np.uint16)
    alpha = rgba[..., 3:]
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
