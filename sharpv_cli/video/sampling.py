"""Which frames to take, by time: pure arithmetic on presentation times, no decoding.

Frames are never chosen by index / fps: rates in headers are means at best, and many clips have none that is
constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sharpv_cli.errors import UsageError

# Sample times that miss a frame's own time by less belong to that frame: both went through float arithmetic.
_TOLERANCE_SEC = 1e-6


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen frames, indices into the times that were given, rising strictly; warnings for the user."""

    indices: tuple[int, ...]
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.indices
        assert self.indices[0] >= 0, self.indices
        assert all(a < b for a, b in zip(self.indices, self.indices[1:], strict=False)), self.indices


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which frames to take. The fields are the settings' `sampling` group.

    `uniform` takes `frames`, spread over the clip; `fps` one every 1 / fps seconds, at most `max_frames`. Both look
    from `start` to `end`; `at` takes what is on screen then. All times are in seconds, those below 0 from the end.
    """

    strategy: Literal["uniform", "fps", "at"] = "uniform"
    frames: int = 32
    fps: float = 1.0
    max_frames: int | None = None
    start: float | None = None
    end: float | None = None
    at: tuple[float, ...] = ()

    def choose(self, times: ArrayLike, end: float) -> Selection:
        """The frames of a clip with these times. Raises UsageError for what does not lie in the clip."""
        if self.strategy == "at":
            return at_moments(times, end, self._moments(end))
        if self.strategy == "uniform":
            return uniform(times, end, self.frames, *self._range(end))
        return by_fps(times, end, self.fps, self.max_frames, *self._range(end))

    def check(self, end: float) -> None:
        """Raise UsageError where what is to be taken does not lie in a clip of `end` seconds."""
        if self.strategy == "at":
            check_moments(self._moments(end), end)
        else:
            check_range(*self._range(end), end)

    def stretch(self, end: float) -> tuple[float, float]:
        """From where to where a clip of `end` seconds is looked at."""
        if self.strategy == "at":
            moments = self._moments(end)
            return moments[0], moments[-1]
        start, stop = self._range(end)
        return start or 0.0, end if stop is None else min(stop, end)

    @property
    def most(self) -> int | None:
        """No clip gives more frames than this; None without a limit."""
        return {"uniform": self.frames, "fps": self.max_frames, "at": len(self.at)}[self.strategy]

    def _moments(self, end: float) -> list[float]:
        return sorted(_from_beginning(moment, end) for moment in self.at)

    def _range(self, end: float) -> tuple[float | None, float | None]:
        """The last ten seconds of a shorter clip are all of it."""
        start = None if self.start is None else _from_beginning(self.start, end)
        if self.start is not None and start is not None and self.start < 0:
            start = max(0.0, start)
        return start, None if self.end is None else _from_beginning(self.end, end)


def _from_beginning(moment: float, end: float) -> float:
    return end + moment if moment < 0 else moment


def at_moments(times: ArrayLike, end: float, moments: Sequence[float]) -> Selection:
    """The frames on screen at these moments, rising, in seconds; those that would be taken twice are taken once.

    Other arguments as for `uniform`. Raises UsageError for a moment that is not in the clip.
    """
    clip = _Clip.of(times, end, None, None)
    check_moments(moments, end)
    shown = np.searchsorted(clip.times, np.asarray(moments) + _TOLERANCE_SEC, side="right") - 1
    chosen = np.unique(shown.clip(0))
    said = f"{len(moments)} moments show only {_count(len(chosen))}"
    return Selection(_ints(chosen), (said,) if len(chosen) < len(moments) else ())


def uniform(
    times: ArrayLike, end: float, n: int, start_sec: float | None = None, end_sec: float | None = None
) -> Selection:
    """The frames on screen at t_k = start + (k + 0.5) / n * span, for k = 0 .. n - 1.

    `times` are the presentation times of all frames in seconds, [N], rising strictly, the clip's beginning
    being 0; `end` is when the last one leaves the screen. Frames that would be taken twice are taken once;
    where at most `n` frames are on screen in the range, all of them are taken. Fewer than `n` are said in a
    warning. Raises UsageError when the range does not lie in the clip.
    """
    assert n >= 1, n
    clip = _Clip.of(times, end, start_sec, end_sec)
    shown = clip.on_screen()
    if len(shown) <= n:
        said = f"the video shows only {_count(len(shown))} in {clip.span:.2f} s: all are used, not {n}"
        return Selection(_ints(shown), (said,) if len(shown) < n else ())
    chosen = clip.sampled(n / clip.span, n)
    said = f"only {_count(len(chosen))} can be seen at the {n} sample times: some stay long on screen"
    return Selection(_ints(chosen), (said,) if len(chosen) < n else ())


def by_fps(
    times: ArrayLike,
    end: float,
    fps: float,
    max_frames: int | None = None,
    start_sec: float | None = None,
    end_sec: float | None = None,
) -> Selection:
    """The frames on screen at t_k = start + (k + 0.5) / fps while t_k lies in the range, at least one.

    The half step keeps a clip's own rate from falling on the borders between its frames, where rounded
    timestamps would skip some and repeat others. More than `max_frames` are thinned to a uniform sample of
    `max_frames`, with a warning. Other arguments and errors as for `uniform`.
    """
    assert fps > 0, fps
    assert max_frames is None or max_frames >= 1, max_frames
    clip = _Clip.of(times, end, start_sec, end_sec)
    wanted = max(1.0, np.ceil(clip.span * fps - 0.5))
    chosen = clip.sampled(max(fps, 1 / clip.span), wanted)
    if max_frames is not None and len(chosen) > max_frames:
        thinned = uniform(times, end, max_frames, start_sec, end_sec)
        said = f"{fps:g} fps of {clip.span:.1f} s are {len(chosen)} frames; max_frames takes {max_frames}"
        return Selection(thinned.indices, (said, *thinned.warnings))
    # Rates such as 29.97 asked as 30 miss a few frames; that needs no word.
    few = len(chosen) < 0.95 * wanted
    said = f"the video shows only {_count(len(chosen))} in {clip.span:.2f} s, fewer than {fps:g} fps"
    return Selection(_ints(chosen), (said,) if few else ())


@dataclass(frozen=True, slots=True)
class _Clip:
    """Presentation times in seconds [N] and the range to sample, start < stop."""

    times: NDArray[np.float64]
    start: float
    stop: float

    @classmethod
    def of(cls, times: ArrayLike, end: float, start_sec: float | None, end_sec: float | None) -> _Clip:
        array = np.asarray(times, np.float64)
        assert array.ndim == 1, array.shape
        assert len(array) > 0
        assert (np.diff(array) > 0).all(), "times must rise strictly"
        assert array[-1] < end, (array[-1], end)
        start = 0.0 if start_sec is None else start_sec
        stop = end if end_sec is None else end_sec
        check_range(start_sec, end_sec, end)
        return cls(array, start, min(stop, end))

    @property
    def span(self) -> float:
        return self.stop - self.start

    def on_screen(self) -> NDArray[np.intp]:
        """The frames that can be seen in the range; the first frame is taken to be there from the
        beginning."""
        before_stop = self.times < self.stop - _TOLERANCE_SEC
        before_stop[0] = True
        leaves = np.append(self.times[1:], np.inf)
        return np.flatnonzero(before_stop & (leaves > self.start + _TOLERANCE_SEC))

    def sampled(self, rate: float, count: float) -> NDArray[np.intp]:
        """The frames on screen at start + (k + 0.5) / rate for k < count.

        A frame is taken when a sample time lies between its own time and the next frame's. Counting the
        sample times before each of these borders needs no list of them, so that no rate is too high.
        """
        borders = self.times[1:] - self.start - _TOLERANCE_SEC
        before = np.clip(np.ceil(borders * rate - 0.5), 0, count)
        return np.flatnonzero(np.diff(before, prepend=0, append=count) > 0)


def check_range(start_sec: float | None, end_sec: float | None, end: float) -> None:
    """Raise UsageError where frames cannot be taken from `start_sec` to `end_sec` of a clip of `end` seconds."""
    start, stop = start_sec or 0.0, end if end_sec is None else end_sec
    hint = f"the clip is {end:.2f} s long"
    if not 0 <= start < end:
        raise UsageError(f"the start {start:g} s is not in the clip", hint=hint)
    if not stop > start:
        raise UsageError(f"the range {start:g} s to {stop:g} s is empty", hint=hint)


def check_moments(moments: Sequence[float], end: float) -> None:
    """Raise UsageError where one of them is not in a clip of `end` seconds; its end itself shows the last frame."""
    for moment in moments:
        if not 0 <= moment <= end:
            raise UsageError(
                f"the moment {moment:g} s is not in the clip", hint=f"the clip is {end:.2f} s long"
            )


def _count(frames: int) -> str:
    return f"{frames} different frame{'' if frames == 1 else 's'}"


def _ints(indices: NDArray[np.intp]) -> tuple[int, ...]:
    return tuple(indices.tolist())
