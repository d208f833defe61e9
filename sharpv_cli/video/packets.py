"""The displayable packets of a video, and whether their times can be those of its pictures."""

from __future__ import annotations

from array import array
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable
from functools import cached_property

import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from sharpv_cli.errors import VideoError

_DEEPEST = 32  # packets that any codec's pictures may wait for others
_SHORT = 5000  # packets; up to here a needless doubt, which is settled by decoding all, costs little
_LONE_GAP = 1.5  # usual steps between the first or last picture and its neighbour
# Each packet costs microseconds and bytes again and again: 27 hours at 30 frames a second; and fewer where they are
# smaller than any codec's pictures are on average.
_MOST, _MOST_TINY, _TINY_BYTES = 3_000_000, 250_000, 8
_FILM = (0.6, 1.6)  # usual steps: what pictures that stay for two and three fields in turn do not go beyond
_UNKNOWN = -(1 << 63)  # in the place of a time that is missing, as FFmpeg has it


class Packets:
    """In file order: times, durations, and whether each is a keyframe."""

    def __init__(self) -> None:
        self._times, self._durations, self._keys = array("q"), array("q"), array("b")
        self._bytes = 0

    def add(self, packet: Packet[VideoStream]) -> None:
        # Edit lists discard some; an empty packet with a time repeats the frame before it (Theora).
        if packet.is_discard or (packet.size == 0 and packet.pts is None):
            return
        self._times.append(_UNKNOWN if packet.pts is None else packet.pts)
        self._durations.append(packet.duration or 0)
        self._keys.append(packet.is_keyframe)
        self._bytes += packet.size

    def check(self, name: str) -> None:
        """Raises VideoError where there are more than any may have, `name` being the video's."""
        check_count(len(self), name)
        if len(self) > _MOST_TINY and self._bytes < len(self) * _TINY_BYTES:
            raise VideoError(
                f"{name} has more than {_MOST_TINY:,} frames of {self._bytes / len(self):.1f} bytes on average: "
                "no camera or encoder writes such",
                hint="the file is damaged, or was made to break readers; get it again",
            )

    @cached_property
    def pts(self) -> list[int | None]:
        """The times as written; to be asked for when all are there."""
        return [None if time == _UNKNOWN else time for time in self._times]

    def __len__(self) -> int:
        return len(self._times)

    @property
    def timed(self) -> bool:
        """Whether any has a time."""
        return len(self._known) > 0

    @property
    def doubtful(self) -> bool:
        """Whether some times are missing or repeated, or lie where reordering does not put them."""
        times = self._known
        if len(times) < len(self):
            return True
        if (np.diff(times) > 0).all():
            return False
        return len(np.unique(times)) < len(times) or _strays(times) or _strays(-times[::-1])

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
        keys = self._all[np.array(self._keys, np.bool_) & (self._all != _UNKNOWN)]
        places = np.searchsorted(pts, np.unique(keys))
        return places[np.isin(pts[places.clip(max=len(pts) - 1)], keys)]

    @property
    def short(self) -> bool:
        return len(self) <= _SHORT

    @property
    def uneven(self) -> bool:
        """Whether there are gaps between the times."""
        known = np.unique(self._known)
        return len(known) > 1 and bool(np.ptp(np.diff(known)))

    @property
    def jumpy(self) -> bool:
        """Whether there are steps that no rate of pictures makes."""
        steps = np.diff(np.unique(self._known))
        few, many = np.median(steps) * np.array(_FILM) if len(steps) else (0, 0)
        return bool(((steps < few) | (steps > many)).any())

    def ordered(self) -> tuple[NDArray[np.int64], int, NDArray[np.intp]]:
        """Sorted times, the last one's duration, the keyframes' places; where no time is doubtful."""
        pts = self._all
        order = np.argsort(pts)
        return pts[order], self._durations[order[-1]], np.flatnonzero(np.array(self._keys, np.bool_)[order])

    @property
    def _all(self) -> NDArray[np.int64]:
        return np.array(self._times, np.int64)

    @property
    def _known(self) -> NDArray[np.int64]:
        known: NDArray[np.int64] = np.extract(self._all != _UNKNOWN, self._all)
        return known


def check_count(count: int, name: str) -> None:
    """Raises VideoError where a video has more frames than are read."""
    if count > _MOST:
        raise VideoError(
            f"{name} has more than {_MOST:,} frames", hint="cut it into parts first; ffmpeg -c copy can"
        )


def _strays(times: NDArray[np.int64]) -> bool:
    """Whether a time comes behind more greater ones than is usual here, or is the least and far from all others."""
    depths = Counter(_depths(times.tolist()))
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


def _lone(times: NDArray[np.int64]) -> bool:
    """Whether the least is far from all others; where it comes first, that is likely, and looked at in short clips."""
    ordered = np.sort(times)
    if len(times) > _SHORT and times[0] == ordered[0]:
        return False
    steps = np.diff(ordered)
    return bool(steps[0] > _LONE_GAP * np.median(steps))
