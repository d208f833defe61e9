"""When each frame of a video is on screen."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.video.sampling import Selection


@dataclass(frozen=True, slots=True)
class Timeline:
    """When each displayed frame is on screen.

    `times` are seconds from the video's first frame, float64 [N], rising strictly, and `end` is when the last
    frame leaves the screen. `pts` are the same times as the file writes them, int64 [N], or None where it
    does not and frames are counted at an assumed rate.
    """

    times: NDArray[np.float64]
    end: float
    pts: NDArray[np.int64] | None

    def __post_init__(self) -> None:
        assert len(self.times) > 0
        assert (np.diff(self.times) > 0).all()
        assert self.times[-1] < self.end, (self.times[-1], self.end)
        assert self.pts is None or len(self.pts) == len(self.times)

    def __len__(self) -> int:
        return len(self.times)

    @classmethod
    def counted(cls, count: int, rate: Fraction) -> Timeline:
        return cls(np.arange(count) / float(rate), count / float(rate), None)


def timed(pts: NDArray[np.int64], origin: int, time_base: Fraction, last: Fraction) -> Timeline:
    """The timeline of frames at these times; the video begins at `origin` and the last frame stays `last`
    s."""
    times = np.multiply(pts - origin, float(time_base), dtype=np.float64)
    return Timeline(times, float(times[-1] + last), pts)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The images of a selection, uint8 RGB [T, H, W, 3], and the timeline that it was made from."""

    images: NDArray[np.uint8]
    selection: Selection
    timeline: Timeline
    warnings: tuple[str, ...] = ()
