"""Where decoded pictures go: all into one array, or wherever a reader of a long video wants them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.types import SamplePlan, VideoInfo
from sharpv_cli.video.picture import UPRIGHT, Pose, canvas
from sharpv_cli.video.plan import Scan
from sharpv_cli.video.timeline import Choice


class Sink(Protocol):
    """Takes the pictures of chosen frames, uint8 RGB [height, width, 3], in any order and from any thread."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height that pictures are to have."""

    @property
    def pose(self) -> Pose:
        """How the first frame is displayed."""

    @property
    def front_to_back(self) -> bool:
        """Whether the first pictures are wanted first."""

    def put(self, slot: int, image: NDArray[np.uint8]) -> None:
        """Take the picture of the `slot`-th chosen frame; it is copied. May wait until there is room."""

    def release(self) -> None:
        """Let nobody wait to put any longer: what they hold is not wanted."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """Room for all pictures of a choice, `images` uint8 RGB [T, H, W, 3]."""

    choice: Choice
    images: NDArray[np.uint8]
    pose: Pose = UPRIGHT
    front_to_back: ClassVar[bool] = False

    @classmethod
    def of(cls, plan: Scan, choice: Choice) -> Canvas:
        """Raises ResourceError where so many pictures do not fit."""
        return cls(choice, canvas(plan.shape, len(choice.selection.indices)), plan.shape.pose)

    @property
    def size(self) -> tuple[int, int]:
        return self.images.shape[2], self.images.shape[1]

    def put(self, slot: int, image: NDArray[np.uint8]) -> None:
        self.images[slot] = image

    def release(self) -> None:
        """Nobody waits here."""


class NoPictures:
    """For a reading that only counts frames."""

    size, pose = (1, 1), UPRIGHT
    front_to_back = False

    def put(self, slot: int, image: NDArray[np.uint8]) -> None:
        raise AssertionError(f"no picture was wanted, and {image.shape} came for slot {slot}")

    def release(self) -> None:
        """Nobody waits here."""


@dataclass(frozen=True, slots=True)
class Take:
    """What is coming: the video as it is decoded, and which frames of it, of `height` x `width` pixels each.

    `pose` is how the first frame is displayed.
    """

    info: VideoInfo
    plan: SamplePlan
    height: int
    width: int
    pose: Pose = UPRIGHT

    def __len__(self) -> int:
        return len(self.plan)
