"""The sampled frames of a video: scanned, chosen by time, decoded, and checked against the scan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sharpv_cli.types import FrameSample, SamplePlan, VideoInfo
from sharpv_cli.video.inorder import Begin, S, in_order
from sharpv_cli.video.local import FilePath
from sharpv_cli.video.probe import Opened, Scan, scanned
from sharpv_cli.video.sampling import Sampling
from sharpv_cli.video.seeking import route, seek
from sharpv_cli.video.sinks import Canvas, Take
from sharpv_cli.video.timeline import Choice, Timeline


def sample_frames(
    path: FilePath, sampling: Sampling, scan: Scan | None = None
) -> tuple[VideoInfo, FrameSample]:
    """The frames on screen at the sample times, as displayed, with their true places in the video.

    The file is scanned, unless its `scan` is known already. The images are uint8 RGB [T, H, W, 3] of one size, at most
    MAX_FRAME_PIXELS each. A damaged file gives what can be decoded and a warning with numbers. Raises VideoError when
    the file cannot be used, UsageError when start or end are not in the clip, ResourceError when the frames do not fit
    in memory.
    """
    return as_sample(*read_frames(path, sampling, Canvas.of, scan), sampling)


def as_sample(plan: Scan, canvas: Canvas, sampling: Sampling) -> tuple[VideoInfo, FrameSample]:
    """What `sample_frames` gives, from the pictures of a choice."""
    height, width = canvas.images.shape[1:3]
    take = announce(plan, canvas.choice, sampling, (width, height))
    chosen = take.plan
    return take.info, FrameSample(
        chosen.strategy, canvas.images, chosen.indices, chosen.timestamps_sec, chosen.warnings
    )


def read_frames(
    path: FilePath, sampling: Sampling, begin: Begin[S], scan: Scan | None = None
) -> tuple[Scan, S]:
    """Put the frames of a choice into the sink that `begin` gives for it; the scan that it was made by, and the sink.

    `begin` is called again when decoding shows that the scan's promises do not hold: then what the sink before
    got is void. Raises what `sample_frames` raises.
    """
    with _scanned(path, scan) as (plan, opened):
        choice = Choice.of(sampling, plan.timeline)
        if (runs := route(plan, choice.selection)) is not None:
            sink = begin(plan, choice)
            if seek(path, plan, runs, sink, opened=opened):
                return plan, sink
    return plan, in_order(path, plan, sampling, begin)


@contextmanager
def _scanned(path: FilePath, scan: Scan | None) -> Iterator[tuple[Scan, Opened | None]]:
    """The scan, and the file where it is still open from it."""
    if scan is not None:
        yield scan, None
        return
    with scanned(path) as found:
        yield found


def announce(plan: Scan, choice: Choice, sampling: Sampling, size: tuple[int, int]) -> Take:
    """A choice in terms of the video; `size` is width and height of the pictures."""
    indices = choice.selection.indices
    sampled = SamplePlan(
        strategy=sampling.strategy,
        indices=indices,
        timestamps_sec=tuple(choice.timeline.times[list(indices)].tolist()),
        warnings=(*plan.warnings, *choice.warnings, *choice.selection.warnings),
    )
    return Take(_as_decoded(plan.info, choice.timeline), sampled, size[1], size[0], plan.shape.pose)


def _as_decoded(info: VideoInfo, timeline: Timeline) -> VideoInfo:
    """The info with the frames that there are, where decoding found other ones than the packets promised."""
    count, duration = len(timeline), timeline.end
    return replace(info, frames_total=count, duration_sec=duration, fps=count / duration)
