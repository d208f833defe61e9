"""When each frame of a video is on screen."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.video.sampling import Sampling, Selection

# A frame's time on screen that no camera beats, and the length of a video that no disk holds.
_SHORTEST_SEC, _LONGEST_SEC = 1e-5, 10 * 365 * 86_400


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


def timed(pts: NDArray[np.int64], origin: int, time_base: Fraction, last: Fraction) -> Timeline | None:
    """The timeline of frames at these times, rising; the video begins at `origin`, the last frame stays `last` s.

    None where that cannot be the times of a video: damage can make them any number.
    """
    span = (max(int(pts.max()), origin) - min(int(pts.min()), origin)) * time_base
    if not (_SHORTEST_SEC <= last <= _LONGEST_SEC and span <= _LONGEST_SEC):
        return None
    times = np.multiply(pts - origin, float(time_base), dtype=np.float64)
    if (np.diff(times) < _SHORTEST_SEC).any():
        return None
    return Timeline(times, float(times[-1] + last), pts)


@dataclass(frozen=True, slots=True)
class Choice:
    """The frames that are taken, and the timeline that they were chosen from; warnings for the user."""

    selection: Selection
    timeline: Timeline
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, sampling: Sampling, timeline: Timeline, warnings: tuple[str, ...] = ()) -> Choice:
        """Raises UsageError when start or end are not in the clip."""
        return cls(sampling.choose(timeline.times, timeline.end), timeline, warnings)
