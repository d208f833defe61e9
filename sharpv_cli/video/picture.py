"""From a decoded frame to the RGB picture that a player would show."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from sharpv_cli.errors import ResourceError
from sharpv_cli.video.colours import hdr, matrix
from sharpv_cli.video.declared import Crop
from sharpv_cli.video.deinterlace import deinterlaced
from sharpv_cli.video.tonemap import to_sdr

# Larger pictures are scaled down while they are converted, so that memory is bounded whatever the resolution.
# Models resize far below this: the largest shipped profile sees 384x384 a tile.
MAX_FRAME_PIXELS = 1_000_000
# A sample of very many frames has less for each, down to what the smallest vision tower sees.
MAX_SAMPLE_BYTES = 4 << 30
MIN_FRAME_PIXELS = 224 * 224

_ROUNDED = 0.03  # of a shape, by the sizes that a stream switches between

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
    """What to crop, clockwise quarter turns, then whether to mirror left and right.

    `rotation` is what PyAV makes of the turns and the mirror; `square` is None where pixels are not, else the width
    and height of the pictures that the pose was made for.
    """

    turns: int = 0
    mirrored: bool = False
    rotation: int = 0
    crop: Crop | None = None
    square: tuple[int, int] | None = None

    @classmethod
    def of(cls, frame: VideoFrame, crop: Crop | None = None, square: bool = True) -> Pose:
        """As the frame's side data say. They and the frame then hold each other until garbage is collected."""
        return cls(
            *_orientation(frame), frame.rotation, crop, (frame.width, frame.height) if square else None
        )

    def still(self, frame: VideoFrame) -> Pose:
        """The pose of a later frame of the same stream: the same, unless its rotation is another.

        Looking at the side data of each would keep hundreds of frames alive.
        """
        if frame.rotation == self.rotation:
            return self
        return replace(Pose.of(frame, self.crop), square=self.square)


UPRIGHT = Pose()


@dataclass(frozen=True, slots=True)
class Shape:
    """How a frame is displayed: pixels after sample aspect ratio and turn, and the pose."""

    width: int
    height: int
    pose: Pose = UPRIGHT

    @classmethod
    def of(cls, frame: VideoFrame, aspect: Fraction | None, crop: Crop | None = None) -> Shape:
        """`aspect` is the sample aspect ratio, the width of a pixel over its height; None is square."""
        inside, height = _uncropped(frame, crop)
        width = max(1, round(inside * _sane(aspect)))
        pose = Pose.of(frame, crop, square=_sane(aspect) == 1)
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
    """The frame as displayed: cropped, turned, mirrored, scaled, on white under alpha. uint8 RGB [height, width, 3].

    `pose` is that of the stream's first frame. A view of a buffer of its own: copy it to where it is to stay.
    """
    pose = pose.still(frame)
    if frame.interlaced_frame:
        frame = deinterlaced(frame)
    size = (height, width) if pose.turns % 2 else (width, height)
    inside = _fitting(frame, size, pose)
    pixels = _framed(_rgb(frame, *inside, pose.crop), size)
    image = np.rot90(pixels, -pose.turns)
    return image[:, ::-1] if pose.mirrored else image


def _fitting(frame: VideoFrame, size: tuple[int, int], pose: Pose) -> tuple[int, int]:
    """The size to convert to: all there is, unless the stream changed to pictures of another shape.

    Where pixels are not square, nothing says whether the change is one of shape.
    """
    if pose.square is None or pose.square == (frame.width, frame.height):
        return size
    width, height = _uncropped(frame, pose.crop)
    if abs(width * size[1] / (height * size[0]) - 1) < _ROUNDED:
        return size
    scale = min(size[0] / width, size[1] / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _framed(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture in the middle of a black one of this size."""
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    whole = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    whole[top : top + height, left : left + width] = pixels
    return whole


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


def _uncropped(frame: VideoFrame, crop: Crop | None) -> tuple[int, int]:
    """Width and height of the part that is shown. Frames of another size than the crop is for are shown whole."""
    return crop.inside if crop and crop.fits(frame.width, frame.height) else (frame.width, frame.height)


def _rgb(frame: VideoFrame, width: int, height: int, crop: Crop | None) -> NDArray[np.uint8]:
    """What is left of the frame by `crop`, in this size."""
    transfer = hdr(frame)
    if _has_alpha(frame):
        frame = VideoFrame.from_ndarray(_on_white(frame), format="rgb24")
    inside = _uncropped(frame, crop)
    # The whole picture is scaled, so that what is left has the size; then the rest is cut off.
    whole = round(width * frame.width / inside[0]), round(height * frame.height / inside[1])
    shrinks = whole[0] * whole[1] < frame.width * frame.height
    out = frame.reformat(
        threads=1,  # by default one for each core, started anew for each picture
        width=whole[0],
        height=whole[1],
        format="rgb48le" if transfer else "rgb24",
        src_colorspace=matrix(frame),
        interpolation=Interpolation.AREA if shrinks else Interpolation.BILINEAR,
    )
    left, top = _corner(frame, whole, (width, height), crop)
    shown = _pixels(out, 6 if transfer else 3)[top : top + height, left : left + width]
    return to_sdr(shown.view("<u2"), transfer) if transfer else shown


def _corner(
    frame: VideoFrame, whole: tuple[int, int], size: tuple[int, int], crop: Crop | None
) -> tuple[int, int]:
    """Where what is shown, of this size, begins in the scaled picture."""
    if crop is None or not crop.fits(frame.width, frame.height):
        return 0, 0
    left, top = round(crop.left * whole[0] / frame.width), round(crop.top * whole[1] / frame.height)
    return min(left, whole[0] - size[0]), min(top, whole[1] - size[1])


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
    rgba = (
        frame.reformat(format="rgba", src_colorspace=matrix(frame), threads=1).to_ndarray().astype(np.uint16)
    )
    alpha = rgba[..., 3:]
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
