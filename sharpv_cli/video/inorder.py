"""Decoding from the beginning, frame by frame: the slow way that needs no index and survives damage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from sharpv_cli.errors import VideoError
from sharpv_cli.video.local import FilePath
from sharpv_cli.video.plan import Scan
from sharpv_cli.video.reading import Reading, read_through, survey
from sharpv_cli.video.refusals import shown, undecodable
from sharpv_cli.video.sampling import Sampling
from sharpv_cli.video.sinks import Sink
from sharpv_cli.video.timeline import Choice, Timeline, clock_of

S = TypeVar("S", bound=Sink)
Begin = Callable[[Scan, Choice], S]


def in_order(path: FilePath, plan: Scan, sampling: Sampling, begin: Begin[S]) -> S:
    """Put the chosen frames, found by counting, into a sink that `begin` gives for them; that sink.

    Where what comes out is not what the scan promises, a survey finds what there is, the choice is made anew,
    and a new sink is begun. Raises VideoError when nothing can be decoded.
    """
    if (promised := plan.timeline.promised) is not None:
        choice = Choice.of(sampling, plan.timeline)
        indices = choice.selection.indices
        sink = begin(plan, choice)
        promise = promised[: indices[-1] + 1]
        if read_through(path, indices, "AUTO", sink, promise, as_written=plan.as_written).as_promised:
            return sink
    return _surveyed(path, plan, sampling, begin)


def _surveyed(path: FilePath, plan: Scan, sampling: Sampling, begin: Begin[S]) -> S:
    threads, reading = survey(path, as_written=plan.as_written)
    if not reading.pts:
        raise undecodable(path)
    places = _in_time(reading, plan)
    timeline = _measured(plan, [reading.pts[place] for place in places])
    choice = Choice.of(sampling, timeline, _coverage(plan, timeline, reading.damage))
    wanted = tuple(places[index] for index in choice.selection.indices)
    sink = begin(plan, choice)
    again = read_through(path, wanted, threads, sink, as_written=plan.as_written)
    if again.pts != reading.pts[: wanted[-1] + 1]:
        raise VideoError(f"{shown(path)} changed while it was read", hint="wait until it is complete")
    return sink


def _in_time(reading: Reading, plan: Scan) -> list[int]:
    """The frames to count. Damage can make a decoder give some too late: players drop these, and so do we."""
    clock = clock_of(reading.pts, plan.time_base, plan.rate) if reading.damage else None
    if clock is None or None in reading.pts:
        return list(range(len(reading.pts)))
    return np.flatnonzero(clock.sure).tolist()


def _measured(plan: Scan, written: list[int | None]) -> Timeline:
    """The timeline of what came out."""
    if plan.info.container == "avi":  # it says when pictures are decoded, in that order
        known = sorted(time for time in written if time is not None)
        written = [*known] or written
    timeline = Timeline.mended(written, plan.time_base, plan.rate, sparse=plan.as_written)
    promised = plan.timeline.pts
    if promised is None or plan.timeline.doubts or timeline.doubts or written[0] is None:
        return timeline
    # Where the first frames are lost, the video begins with them; where the last are, the one before stays.
    late = max(0.0, float((written[0] - int(promised[0])) * plan.time_base))
    return replace(timeline, times=timeline.times + late, end=max(timeline.end + late, plan.timeline.end))


def _coverage(plan: Scan, timeline: Timeline, damage: int) -> tuple[str, ...]:
    said = []
    packets_read, frames = len(plan.timeline), len(timeline)
    if damage:
        said.append(
            f"the video is damaged: {frames} frames came out of {packets_read} packets "
            f"(errors: {damage}); what can be decoded is used"
        )
    elif frames < 0.99 * packets_read:
        said.append(f"only {frames} frames came out of {packets_read} packets: the video may be damaged")
    return (*said, *(doubt for doubt in timeline.doubts if doubt not in plan.warnings))
