"""The displayable packets of a video, and whether their times can be those of its pictures."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

_DEEPEST = 32  # packets that any codec's pictures may wait for others
_SHORT = 5000  # packets; up to here a needless doubt, which is settled by decoding all, costs little
_LONE_GAP = 1.5  # usual steps between the first or last picture and its neighbour


@dataclass(slots=True)
class Packets:
    """In file order: times, durations, and whether each is a keyframe."""

    pts: list[int | None] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    keys: list[bool] = field(default_factory=list)

    def add(self, packet: Packet[VideoStream]) -> None:
        # Edit lists discard some; an empty packet with a time repeats the frame before it (Theora).
        if packet.is_discard or (packet.size == 0 and packet.pts is None):
            return
        self.pts.append(packet.pts)
        self.durations.append(packet.duration or 0)
        self.keys.append(packet.is_keyframe)

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def timed(self) -> bool:
        """Whether any has a time."""
        return any(time is not None for time in self.pts)

    @property
    def doubtful(self) -> bool:
        """Whether some times are missing or repeated, or lie where reordering does not put them."""
        times = [time for time in self.pts if time is not None]
        if len(times) < len(self.pts):
            return True
        if (np.diff(np.array(times, np.int64)) > 0).all():
            return False
        return len(set(times)) < len(times) or _strays(times) or _strays([-time for time in reversed(times)])

    def in_display_order(self) -> list[int | None] | None:
        """The times as pictures are shown, None in the places of those that are wrong; None where those are many.

        Where pictures wait for others, a wrong time leaves the place of its picture to a guess: that of its packet.
        """
        wrong = self._wrong()
        if len(wrong) > max(1, len(self.pts) / 100):
            return None
        kept = (time for place, time in enumerate(self.pts) if place not in wrong)
        order: list[int | None] = [*sorted(time for time in kept if time is not None)]
        for place in sorted(wrong):
            order.insert(place, None)
        return order

    def _wrong(self) -> set[int]:
        """The places of packets whose times are missing, repeated or far from where they should be."""
        first = {time: place for place, time in reversed(list(enumerate(self.pts)))}
        wrong = {place for place, time in enumerate(self.pts) if time is None or first[time] != place}
        for sign in (-1, 1):  # too late, then too early
            places = [place for place in range(len(self.pts))[::sign] if place not in wrong]
            depths = _depths(sign * (self.pts[place] or 0) for place in places)
            wrong |= {place for place, depth in zip(places, depths, strict=True) if depth > _DEEPEST}
        return wrong

    def keys_among(self, pts: NDArray[np.int64]) -> NDArray[np.intp]:
        """The places of the keyframes among these times, rising."""
        keys = [time for time, is_key in zip(self.pts, self.keys, strict=True) if is_key and time is not None]
        places = np.searchsorted(pts, np.unique(np.array(keys, np.int64)))
        return places[np.isin(pts[places.clip(max=len(pts) - 1)], keys)]

    @property
    def short(self) -> bool:
        return len(self) <= _SHORT

    @property
    def uneven(self) -> bool:
        """Whether there are gaps between the times."""
        known = np.unique(np.array([time for time in self.pts if time is not None], np.int64))
        return len(known) > 1 and bool(np.ptp(np.diff(known)))

    def ordered(self) -> tuple[NDArray[np.int64], int, NDArray[np.intp]]:
        """Sorted times, the last one's duration, the keyframes' places; where no time is doubtful."""
        pts = np.array(self.pts, np.int64)
        order = np.argsort(pts)
        return pts[order], self.durations[order[-1]], np.flatnonzero(np.array(self.keys)[order])


def _strays(times: list[int]) -> bool:
    """Whether a time comes behind more greater ones than is usual here, or is the least and far from all others."""
    depths = Counter(_depths(times))
    deepest = max(depths, default=0)
    if deepest > _DEEPEST or _lone(times):
        return True
    return len(times) <= _SHORT and depths[deepest] <= max(1, len(times) / 100)


def _depths(times: Iterable[int]) -> Iterable[int]:
    """For each time, how many before it are greater; counted up to a little over what any codec does."""
    greatest: list[int] = []
    for time in times:
        yield len(greatest) - bisect_right(greatest, time)
        insort(greatest, time)
        del greatest[: -_DEEPEST - 1]


def _lone(times: list[int]) -> bool:
    """Whether the least is far from all others; where it comes first, that is likely, and looked at in short clips."""
    ordered = np.sort(np.array(times, np.int64))
    if len(times) > _SHORT and times[0] == ordered[0]:
        return False
    steps = np.diff(ordered)
    return bool(steps[0] > _LONE_GAP * np.median(steps))
