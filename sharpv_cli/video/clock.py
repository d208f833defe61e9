"""A clock for frames whose written times are not all right: one bad time costs its own frame's certainty only.

Frames are looked at in the order in which they are shown. Most of their times rise; those that do not fit in are
taken for wrong, as few as possible, and set between their neighbours'. Where the times go back for good (joined
recordings, a counter that overflowed), the clock goes on from where it was. Gaps stay gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Least = tuple[float, float]

_NEAR = 64  # frames: so many wrong times in a row are told from a clock that was set back
# In times that are given up: what a clock that was set back costs, another one of the last times (behind which
# nothing shows that the clock goes on as before), a step that is as uneven as can be; and how much less the second
# of two equal times costs.
_SET_BACK, _AT_THE_END, _UNEVEN, _REPEATED = 16.0, 12.0, 0.05, 0.01
# So many frames without a time, of which each has less of a usual step than this: the clock stood still.
_MANY, _SQUEEZED = 8, 0.25
_COUNTERS = (24, 31, 32, 33)  # bits of the counters of FLV, ASF, RTP and MPEG
_NEAR_OVERFLOW = 0.02


@dataclass(frozen=True, slots=True)
class Clock:
    """Times of all frames as the file counts them, float64 [N], rising strictly.

    `sure` tells which of them the file itself says, bool [N]; `set_back` counts the places where its clock went back.
    `step` is the usual time between two frames.
    """

    ticks: NDArray[np.float64]
    sure: NDArray[np.bool_]
    set_back: int
    step: float


def mended(written: Sequence[int | None], step: float, least: Least = (0.0, 0.0)) -> Clock:
    """The clock of frames with these times in the order of their display; `step` is for want of a better one.

    Frames that follow each other sooner than in `least` usual steps (one frame's, and that of several on average) are
    as wrong as those that go back.
    """
    places = np.array([place for place, time in enumerate(written) if time is not None], np.int64)
    times = np.array([time for time in written if time is not None], np.int64)
    assert len(times), "without any time, frames are counted"
    step = _usual_step(places, times) or step
    kept = _kept(places, times, step, least)
    places, times = places[kept], times[kept]
    passed = np.diff(times).astype(np.float64)
    set_back = 0
    frames = np.diff(places)
    squeezed = (frames > _MANY) & (passed < _SQUEEZED * step * frames)
    for place in np.flatnonzero((passed <= 0) | squeezed):
        overflowed = _overflowed(*times[place : place + 2].tolist())
        set_back += overflowed is None
        passed[place] = overflowed or step * frames[place]
    ticks = times[0] + np.concatenate([[0.0], np.cumsum(passed)])
    sure = np.zeros(len(written), np.bool_)
    sure[places] = True
    return Clock(_filled(len(written), places, ticks, step), sure, set_back, step)


def _usual_step(places: Ints, times: Ints) -> float | None:
    """The median time from one frame to the next."""
    steps = np.diff(times) / np.diff(places)
    rising = steps[steps > 0]
    return float(np.median(rising)) if len(rising) else None


def _overflowed(before: int, after: int) -> int | None:
    """The time between two frames where a counter began anew, as far as that can be told."""
    for bits in _COUNTERS:
        whole = 1 << bits
        if whole * (1 - _NEAR_OVERFLOW) < before < whole and 0 <= after < whole * _NEAR_OVERFLOW:
            return after + whole - before
    return None


def _kept(places: Ints, times: Ints, step: float, least: Least) -> list[int]:
    """Which times to believe: the way through them that gives up the least.

    Each time follows the one before it from which the way is cheapest: its neighbour, where all is in order.
    """
    count = len(times)
    order = np.arange(count)
    cost, back = np.zeros(count), order - 1
    given_up = np.cumsum(np.concatenate([[0.0], 1 - _REPEATED * (np.diff(times, prepend=times[0] - 1) == 0)]))
    to_next = _steps(places, times, order[:-1], order[1:], step, least)
    end = 1
    for start, stop in _troubled(to_next):
        cost[end:start] = cost[end - 1] + np.cumsum(to_next[end - 1 : start - 1])
        for here in range(start, stop):
            there = order[max(0, here - _NEAR) : here]
            ways = (
                cost[there]
                + given_up[here]
                - given_up[there + 1]
                + _steps(places, times, there, order[here], step, least)
            )
            best = int(ways.argmin())
            cost[here], back[here] = ways[best], there[best]
            if here <= _NEAR and here < cost[here]:  # nothing before it is right
                cost[here], back[here] = here, -1
        end = stop
    cost[end:] = cost[end - 1] + np.cumsum(to_next[end - 1 :])
    last = order[::-1][-_NEAR:]
    cost[-_NEAR:] += given_up[-1] - given_up[1:][-_NEAR:] + (_AT_THE_END - 1) * np.maximum(last - 1, 0)
    return _way_to(int(cost[-_NEAR:].argmin()) + max(0, count - _NEAR), back)


def _troubled(to_next: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """The stretches where a way has to be looked for: from a time that goes back until it is left behind."""
    backward = (np.flatnonzero(to_next == _SET_BACK) + 1).tolist()
    for number, start in enumerate(backward):
        stop = min(start + _NEAR + 1, len(to_next) + 1)
        if number + 1 < len(backward):
            stop = min(stop, backward[number + 1])
        yield start, stop


def _steps(
    places: Ints, times: Ints, there: Ints, here: Ints, step: float, least: Least
) -> NDArray[np.float64]:
    """What the steps from several times to one of them cost."""
    frames = places[here] - places[there]
    passed = (times[here] - times[there]) / (step * frames)
    late_enough = passed > np.where(frames > 1, least[1], least[0])
    return np.where(late_enough, _UNEVEN * np.minimum(1.0, np.abs(passed - 1)), _SET_BACK)


def _way_to(end: int, back: Ints) -> list[int]:
    way = []
    while end >= 0:
        way.append(end)
        end = int(back[end])
    return way[::-1]


def _filled(count: int, places: Ints, ticks: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Times of all frames: behind those that are known in usual steps, or less where the next one comes sooner."""
    every = np.arange(count)
    before = (np.searchsorted(places, every, "right") - 1).clip(min=0)
    usual = ticks[before] + (every - places[before]) * step
    filled: NDArray[np.float64] = np.minimum(usual, np.interp(every, places, ticks))
    last = places[-1]
    filled[last:] = usual[last:]
    return filled
