"""A video and the frames taken from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video file holds, as a scan of its packets found it (headers lie).

    `width` and `height` are pixels as displayed, after rotation and sample aspect ratio;
    `rotation_deg` is the clockwise turn that was applied (0, 90, 180 or 270);
    `fps` is the average rate, frames_total / duration_sec; None where it cannot be known.
    """

    path: str
    container: str
    codec: str
    width: int
    height: int
    rotation_deg: int
    fps: float | None
    duration_sec: float | None
    frames_total: int

    def __post_init__(self) -> None:
        assert self.width > 0 and self.height > 0, (self.width, self.height)
        assert self.rotation_deg in (0, 90, 180, 270), self.rotation_deg
        assert self.frames_total > 0, self.frames_total


@dataclass(frozen=True, slots=True)
class Unseen:
    """In the place of pictures [T, H, W, 3] that nobody will look at: all that is known of them."""

    shape: tuple[int, int, int, int]

    ndim, dtype = 4, np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]


@dataclass(frozen=True, slots=True)
class FrameSample:
    """The frames taken from a video: uint8 RGB [T, H, W, 3], with their places in it.

    `indices` count displayed frames from 0; `timestamps_sec` are true presentation times, the video's first
    frame being 0.0. Both rise strictly. `warnings` are sentences for the user. Of a long clip, which the model
    gets in chunks, `images` are only small ones to look at; `decoded` is then the (height, width) of the model's.
    """

    strategy: Literal["uniform", "fps", "at"]
    images: NDArray[np.uint8]
    indices: tuple[int, ...]
    timestamps_sec: tuple[float, ...]
    warnings: tuple[str, ...] = ()
    decoded: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        assert self.images.ndim == 4 and self.images.shape[3] == 3, self.images.shape
        assert self.images.dtype == np.uint8, self.images.dtype
        assert len(self.indices) == len(self.timestamps_sec) == len(self.images) > 0
        assert all(a < b for a, b in zip(self.indices, self.indices[1:], strict=False)), self.indices

    def __len__(self) -> int:
        return len(self.indices)

    def without_pictures(self) -> FrameSample:
        """With nothing to look at, for where that is not wanted."""
        images: Any = Unseen(self.images.shape)  # looks like an array
        return replace(self, images=images)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures that the model gets."""
        height, width = self.images.shape[1:3] if self.decoded is None else self.decoded
        return height, width


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream of a file, as its header says. Sizes are pixels as coded, `rate` is frames or samples a second.

    What the header does not say, or the kind of stream does not have, is None. `main` marks the one that is read, and
    `subtitles` says of what kind they are: text, which `--subtitles` reads, pictures of it, or another.
    """

    index: int
    kind: str
    codec: str | None
    width: int | None = None
    height: int | None = None
    rate: float | None = None
    channels: int | None = None
    language: str | None = None
    main: bool = False
    subtitles: Literal["text", "pictures", "other"] | None = None


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """The frames that would be taken, before any but the first is decoded: as in FrameSample, without images."""

    strategy: Literal["uniform", "fps", "at"]
    indices: tuple[int, ...]
    timestamps_sec: tuple[float, ...]
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.indices) == len(self.timestamps_sec) > 0

    def __len__(self) -> int:
        return len(self.indices)
