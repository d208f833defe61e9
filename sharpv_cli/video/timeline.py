"""When each frame of a video is on screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.video.clock import Clock, mended
from sharpv_cli.video.sampling import Sampling, Selection

# A frame's time on screen that no camera beats, and the length of a video that no disk holds.
_SHORTEST_SEC, _LONGEST_SEC = 1e-5, 10 * 365 * 86_400

_LONG_GAP = 100  # usual steps
# Of the usual step, where fields come at a fixed rate: two instead of three; of several frames, two instead of 2.5.
_LEAST_STEP, _ANY_STEP = (0.65, 0.78), (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Timeline:
    """When each displayed frame is on screen.

    `times` are seconds from the video's first frame, float64 [N], rising strictly, and `end` is when the last
    frame leaves the screen. `pts` are the same times as the file counts them, int64 [N], or None where it cannot
    say so. Where not all that the file writes is right, `written` are the times that come out of the decoder, if
    known, and `sure`, bool [N], tells which of `pts` are among them. `doubts` are sentences for the user about the
    others.
    """

    times: NDArray[np.float64]
    end: float
    pts: NDArray[np.int64] | None
    written: Sequence[int | None] | None = None
    sure: NDArray[np.bool_] | None = None
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.times) > 0
        assert (np.diff(self.times) > 0).all()
        assert self.times[-1] < self.end, (self.times[-1], self.end)
        assert self.pts is None or len(self.pts) == len(self.times)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def promised(self) -> list[int | None] | None:
        """The times with which frames come out of the decoder, in order, where those are known."""
        if self.written is not None:
            return list(self.written)
        return None if self.pts is None else self.pts.tolist()

    def is_sure(self, indices: Sequence[int]) -> bool:
        """Whether the file itself says when these frames are shown."""
        return self.sure is None or bool(self.sure[list(indices)].all())

    @property
    def odd(self) -> tuple[str, ...]:
        """What to say of one gap that is longer than all else: it may be real, or one time at its edge is wrong."""
        gaps = np.diff(self.times)
        if len(gaps) < 2:
            return ()
        place = int(gaps.argmax())
        gap = float(gaps[place])
        if gap < self.end / 2 or gap < _LONG_GAP * float(np.median(gaps)):
            return ()
        return (
            f"one frame stays on screen for {gap:.1f} s of {self.end:.1f} s, from {self.times[place]:.1f} s on: "
            "unless that is meant, a time in the file is wrong",
        )

    @classmethod
    def counted(cls, count: int, rate: Fraction) -> Timeline:
        return cls(np.arange(count) / float(rate), count / float(rate), None, doubts=(assumed(rate),))

    @classmethod
    def mended(
        cls, written: Sequence[int | None], time_base: Fraction, rate: Fraction, *, sparse: bool = False
    ) -> Timeline:
        """Of frames that come out of the decoder with these times, some of which may be missing or wrong.

        Where they are `sparse`, the container need not write all, and those that are missing are no cause for doubt.
        """
        if (clock := clock_of(written, time_base, rate, sparse=sparse)) is None:
            return cls.counted(len(written), rate)
        times = (clock.ticks - clock.ticks[0]) * float(time_base)
        if (np.diff(times) < _SHORTEST_SEC).any():
            return cls.counted(len(written), rate)
        told = np.array([time is not None for time in written])
        unsure = ~clock.sure & (told if sparse else True)
        last = max(clock.step * float(time_base), _SHORTEST_SEC)
        pts = None if clock.set_back else _whole(clock)
        return cls(times, float(times[-1] + last), pts, written, clock.sure, _doubts(clock, unsure))


def assumed(rate: Fraction) -> str:
    """What to say of frames that are counted."""
    return f"the frames' times are missing or make no sense; {float(rate):g} fps is assumed"


def _whole(clock: Clock) -> NDArray[np.int64] | None:
    """The clock's times in whole units; None where those cannot tell frames apart."""
    pts = np.round(clock.ticks).astype(np.int64)
    return pts if (np.diff(pts) > 0).all() else None


def clock_of(
    written: Sequence[int | None], time_base: Fraction, rate: Fraction, *, sparse: bool = False
) -> Clock | None:
    """The clock of frames with these times; None where none of them can be believed."""
    believable = _believable(written, time_base)
    if all(time is None for time in believable):
        return None
    return mended(believable, float(1 / rate / time_base), _LEAST_STEP if sparse else _ANY_STEP)


def _believable(written: Sequence[int | None], time_base: Fraction) -> list[int | None]:
    """Without those that are further from the others than any video is long."""
    known = [time for time in written if time is not None]
    middle = sorted(known)[len(known) // 2] if known else 0
    longest = _LONGEST_SEC / time_base
    return [None if time is None or abs(time - middle) > longest else time for time in written]


def _doubts(clock: Clock, unsure: NDArray[np.bool_]) -> tuple[str, ...]:
    said = []
    if unsure.any():
        said.append(
            f"the times of {unsure.sum()} of {len(clock.sure)} frames are missing or wrong: "
            "they are taken from those of the frames around them"
        )
    if clock.set_back:
        times = "once" if clock.set_back == 1 else f"{clock.set_back} times"
        said.append(f"the video's clock goes back {times}: what follows is taken to go on from there")
    return tuple(said)


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
