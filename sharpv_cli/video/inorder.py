"""Decoding from the beginning, frame by frame: the slow way that needs no index and survives damage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
from av.video.frame import VideoFrame

from sharpv_cli.errors import VideoError
from sharpv_cli.video.local import FilePath
from sharpv_cli.video.opening import decode, open_video, packets
from sharpv_cli.video.picture import render
from sharpv_cli.video.probe import Scan
from sharpv_cli.video.refusals import shown
from sharpv_cli.video.sampling import Sampling
from sharpv_cli.video.sinks import NoPictures, Sink
from sharpv_cli.video.timeline import Choice, Timeline, timed

S = TypeVar("S", bound=Sink)
Begin = Callable[[Scan, Choice], S]
Threads = Literal["AUTO", "NONE"]


def in_order(path: FilePath, plan: Scan, sampling: Sampling, begin: Begin[S]) -> S:
    """Put the chosen frames, found by counting, into a sink that `begin` gives for them; that sink.

    Where what comes out is not what the scan promises, a survey finds what there is, the choice is made anew,
    and a new sink is begun. Raises VideoError when nothing can be decoded.
    """
    if (promised := plan.timeline.pts) is not None:
        choice = Choice.of(sampling, plan.timeline)
        indices = choice.selection.indices
        sink = begin(plan, choice)
        if _decode(path, indices, "AUTO", sink, promised[: indices[-1] + 1].tolist()).as_promised:
            return sink
    return _surveyed(path, plan, sampling, begin)


def _surveyed(path: FilePath, plan: Scan, sampling: Sampling, begin: Begin[S]) -> S:
    threads, survey = _survey(path)
    if not survey.pts:
        raise VideoError(
            f"no frame of {shown(path)} can be decoded", hint="the file is damaged or encrypted; get it again"
        )
    places = _in_time(survey, plan)
    timeline = _measured(plan, [survey.pts[place] for place in places])
    choice = Choice.of(sampling, timeline, _coverage(plan, timeline, survey.damage))
    wanted = tuple(places[index] for index in choice.selection.indices)
    sink = begin(plan, choice)
    if _decode(path, wanted, threads, sink).pts != survey.pts[: wanted[-1] + 1]:
        raise VideoError(f"{shown(path)} changed while it was read", hint="wait until it is complete")
    return sink


def _survey(path: FilePath) -> tuple[Threads, _Run]:
    """All frames that come out, without their pictures, and the threads to get the same ones again."""
    survey = _decode(path, (), "AUTO", NoPictures())
    if not survey.damage:
        return "AUTO", survey
    # With more threads the decoders conceal the same damage in other ways, and report less of it.
    return "NONE", _decode(path, (), "NONE", NoPictures())


def _in_time(survey: _Run, plan: Scan) -> list[int]:
    """The frames to count. Damage can make a decoder give some too late: players drop these, and so do we."""
    if not survey.damage or plan.timeline.pts is None:
        return list(range(len(survey.pts)))
    places: list[int] = []
    latest: int | None = None
    for place, pts in enumerate(survey.pts):
        if pts is not None and (latest is None or pts > latest):
            places.append(place)
            latest = pts
    return places


@dataclass(slots=True)
class _Run:
    """One reading: the times of the frames that came out, as written; pictures of the wanted ones go to `sink`.

    `damage` counts packets that are marked as damaged or that the decoder refused, and frames that it marked.
    A reading with `promised` times ends at the first damage, or at the first frame with another time.
    """

    wanted: tuple[int, ...]
    sink: Sink
    promised: list[int] | None
    pts: list[int | None] = field(default_factory=list)
    filled: int = 0
    damage: int = 0

    def take(self, frame: VideoFrame) -> None:
        place = len(self.pts)
        self.pts.append(frame.pts)
        self.damage += frame.is_corrupt
        if not self.lost and self.filled < len(self.wanted) and self.wanted[self.filled] == place:
            self.sink.put(self.filled, render(frame, *self.sink.size, self.sink.pose))
            self.filled += 1

    @property
    def lost(self) -> bool:
        """Whether a promise was broken."""
        if self.promised is None:
            return False
        came = len(self.pts)
        return self.damage > 0 or (came > 0 and self.pts[-1] != self.promised[came - 1])

    @property
    def as_promised(self) -> bool:
        return not self.lost and self.pts == self.promised

    @property
    def done(self) -> bool:
        return self.lost or (bool(self.wanted) and self.filled == len(self.wanted))


def _decode(
    path: FilePath, wanted: tuple[int, ...], threads: Threads, sink: Sink, promised: list[int] | None = None
) -> _Run:
    """Decodes up to the last wanted frame, or everything when none is wanted."""
    run = _Run(wanted, sink, promised)
    with open_video(path) as (container, stream):
        stream.codec_context.thread_type = threads
        if threads == "AUTO":
            # Threads hand out frames before they mark them: only an error at the damage is sure to be seen.
            stream.codec_context.options |= {"err_detect": "explode"}
        for packet in packets(container, stream):
            frames, refused = decode(packet)
            run.damage += refused or packet.is_corrupt
            for frame in frames:
                run.take(frame)
                if run.done:
                    return run
    return run


def _measured(plan: Scan, written: list[int | None]) -> Timeline:
    """The timeline of what came out: the frames' own times where those rise, else counted at the rate."""
    known = [pts for pts in written if pts is not None]
    pts = np.array(known, np.int64)
    if len(known) < len(written) or (np.diff(pts) <= 0).any():
        return Timeline.counted(len(written), plan.rate)
    promised = plan.timeline.pts
    origin = int(pts[0] if promised is None else min(promised[0], pts[0]))
    timeline = timed(pts, origin, plan.time_base, 1 / plan.rate)
    if timeline is None:
        return Timeline.counted(len(written), plan.rate)
    # Where the last frames are lost, the one before them stays on screen.
    end = timeline.end if promised is None else max(timeline.end, plan.timeline.end)
    return Timeline(timeline.times, end, pts)


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
    if timeline.pts is None and plan.info.container != "avi":  # AVI has a rate and no times
        said.append(f"the frames' times are missing or go back; {float(plan.rate):g} fps is assumed")
    return tuple(said)
