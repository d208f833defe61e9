"""Decoding only what is needed: from the keyframe before each chosen frame, on several threads, every landing
checked.

Containers' seeks land late, on damaged indices, or on pictures that refer to ones before them, and nothing
says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from sharpv_cli.video.converting import Put, converting
from sharpv_cli.video.local import FilePath
from sharpv_cli.video.opening import decode, open_video, packets
from sharpv_cli.video.probe import Opened, Scan, drain
from sharpv_cli.video.routes import Run, Team, runs_to, team_for
from sharpv_cli.video.sampling import Selection
from sharpv_cli.video.sinks import Sink

_STEPS_BACK = 2  # earlier keyframes to try when a seek lands after the one that it was sent to


def route(plan: Scan, selection: Selection) -> list[Run] | None:
    """The runs that lead to the selection, in order; None where seeks cannot be checked."""
    if plan.timeline.pts is None or not plan.timeline.is_sure(selection.indices):
        return None
    return runs_to(plan.keys, selection.indices)


def seek(
    path: FilePath,
    plan: Scan,
    runs: Sequence[Run],
    sink: Sink,
    team: Team | None = None,
    opened: Opened | None = None,
) -> bool:
    """Put the pictures of `runs` into `sink`, decoded only from the keyframe before each, and of that only what others
    refer to.

    False where any frame that comes out is not the one that the scan promises: then the file has to be read in order.
    `team` is chosen by estimated cost unless given. `opened` is the file as the scan left it, if still open. The
    threads end with the call, whatever ends it.
    """
    assert plan.timeline.pts is not None, "seeks can be checked"
    team = team or team_for(runs, plan.info.width * plan.info.height)
    beside = team.workers == 1 and team.threads > 1
    try:
        with converting(sink, beside=beside) as put:
            job = _Job(path, plan, plan.timeline.pts, sink, put, team.threads, SimpleQueue(), Event())
            # Unless the first are wanted first, the longest are, so that all end together.
            for run in runs if sink.front_to_back else sorted(runs, key=lambda run: -run.cost):
                job.runs.put(run)
            if team.workers > 1:
                _work_together(job, team.workers)
            else:
                _work_alone(job, opened)
    except _LostError:
        return False
    return True


class _LostError(Exception):
    """A seek did not land where it should, or what came out is not what the scan promises."""


@dataclass(frozen=True, slots=True)
class _Job:
    """What the workers share: runs are taken from the queue, `put` takes frames by slot, `stop` ends all."""

    path: FilePath
    plan: Scan
    pts: NDArray[np.int64]
    sink: Sink
    put: Put
    threads: int
    runs: SimpleQueue[Run]
    stop: Event


def _work_together(job: _Job, workers: int) -> None:
    with ThreadPoolExecutor(workers, "decode") as pool:
        futures = [pool.submit(_work, job) for _ in range(workers)]
        try:
            for future in as_completed(futures):
                future.result()
        finally:
            job.stop.set()
            job.sink.release()


def _work_alone(job: _Job, opened: Opened | None) -> None:
    if opened:
        _take_runs(job, *opened)
    else:
        _work(job)


def _work(job: _Job) -> None:
    """Each worker reads the file on its own."""
    with open_video(job.path) as (container, stream):
        stream.codec_context.thread_count = job.threads
        _take_runs(job, container, stream)


def _take_runs(job: _Job, container: InputContainer, stream: VideoStream) -> None:
    """Decodes runs until there are no more."""
    while not job.stop.is_set():
        try:
            run = job.runs.get_nowait()
        except Empty:
            return
        _fill(job, run, container, stream)


def _fill(job: _Job, run: Run, container: InputContainer, stream: VideoStream) -> None:
    """The images of one run. Raises _LostError."""
    slots = iter(zip(run.indices, range(run.slot, run.slot + len(run.indices)), strict=True))
    index, slot = next(slots)
    for position, frame in _frames_from_key(job, run, container, stream):
        if position > index:
            raise _LostError
        if position == index:
            job.put(slot, frame)
            index, slot = next(slots, (-1, -1))
            if index < 0:
                return
    if not job.stop.is_set():
        raise _LostError


def _frames_from_key(
    job: _Job, run: Run, container: InputContainer, stream: VideoStream
) -> Iterator[tuple[int, VideoFrame]]:
    """The frames from the run's keyframe on, or one before it, each with its index. Raises _LostError."""
    place = int(np.searchsorted(job.plan.keys, run.key))
    for key in job.plan.keys[max(0, place - _STEPS_BACK) : place + 1][::-1].tolist():
        _seek(container, stream, int(job.pts[key]))
        needed = {key, *run.indices} if job.plan.skips else set(range(key, run.indices[-1] + 1))
        frames = _needed_frames(job, needed, container, stream)
        # Pictures before the keyframe in display order may refer to ones that were never read: they are
        # skipped.
        first = next((frame for frame in frames if frame.pts is None or frame.pts >= job.pts[key]), None)
        if first is not None and first.pts == job.pts[key]:
            break
    else:
        raise _LostError
    yield key, first
    position = key
    for frame in frames:
        known = frame.pts is not None and int(np.searchsorted(job.pts, frame.pts))
        # Where no frame is skipped, each one has to come.
        follows = known and (known > position if job.plan.skips else known == position + 1)
        if not follows or known >= len(job.pts) or job.pts[known] != frame.pts:
            raise _LostError
        position = int(known)
        yield position, frame


def _seek(container: InputContainer, stream: VideoStream, pts: int) -> None:
    try:
        container.seek(pts, stream=stream)
    except av.FFmpegError as error:
        raise _LostError from error


def _needed_frames(
    job: _Job, indices: set[int], container: InputContainer, stream: VideoStream
) -> Iterator[VideoFrame]:
    """The frames of these indices, and of the others on the way those at least that they refer to.

    Raises _LostError at the first sign of damage.
    """
    missing = {int(job.pts[index]) for index in indices if job.plan.timeline.is_sure((index,))}
    for packet in packets(container, stream):
        if job.stop.is_set():
            return
        wanted = packet.pts in missing
        if job.plan.skips:
            stream.codec_context.skip_frame = "DEFAULT" if wanted else "NONREF"
        yield from _sound(*decode(packet), job.plan.skips)
        missing -= {packet.pts}
        if not missing:
            # What is held back for reordering comes without being pushed out by the packets that follow.
            yield from _sound(*drain(stream), job.plan.skips)
            return


def _sound(frames: list[VideoFrame], damaged: bool, skips: bool) -> list[VideoFrame]:
    # Two fields may lie in two packets of which one is skipped.
    if damaged or any(frame.is_corrupt or (skips and frame.interlaced_frame) for frame in frames):
        raise _LostError
    return frames
