"""The sampled frames of a video: scanned, chosen by time, decoded, and checked against the scan."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

from sharpv_cli.types import FrameSample, SamplePlan, VideoInfo
from sharpv_cli.video.inorder import Begin, Choose, S, in_order
from sharpv_cli.video.local import FilePath
from sharpv_cli.video.probe import Scan, scanned
from sharpv_cli.video.sampling import by_fps, uniform
from sharpv_cli.video.seeking import route, seek
from sharpv_cli.video.sinks import Canvas, Take
from sharpv_cli.video.timeline import Choice, Timeline

Strategy = Literal["uniform", "fps"]


def sample_frames(
    path: FilePath,
    *,
    strategy: Strategy,
    frames: int | None,
    fps: float | None,
    max_frames: int | None,
    start_sec: float | None = None,
    end_sec: float | None = None,
) -> tuple[VideoInfo, FrameSample]:
    """The frames on screen at the sample times, as displayed, with their true places in the video.

    `uniform` takes `frames` of them, `fps` one every 1 / fps seconds, at most `max_frames`; see `sampling`.
    The images are uint8 RGB [T, H, W, 3] of one size, at most MAX_FRAME_PIXELS each. A damaged file gives
    what can be decoded and a warning with numbers. Raises VideoError when the file cannot be used, UsageError
    when start or end are not in the clip, ResourceError when the frames do not fit in memory.
    """
    choose = chooser(strategy, frames, fps, max_frames, start_sec, end_sec)
    plan, canvas = read_frames(path, choose, Canvas.of)
    return as_sample(plan, canvas, strategy)


def read_frames(path: FilePath, choose: Choose, begin: Begin[S]) -> tuple[Scan, S]:
    """Scan the file and put the frames of a choice into the sink that `begin` gives for it; both.

    `begin` is called again when decoding shows that the scan's promises do not hold: then what the sink before
    got is void. Raises what `sample_frames` raises.
    """
    with scanned(path) as (plan, opened):
        choice = Choice(choose(plan.timeline), plan.timeline)
        if (runs := route(plan, choice.selection)) is not None:
            sink = begin(plan, choice)
            if seek(path, plan, runs, sink, opened=opened):
                return plan, sink
    return plan, in_order(path, plan, choose, begin)


def as_sample(plan: Scan, canvas: Canvas, strategy: Strategy) -> tuple[VideoInfo, FrameSample]:
    """What `sample_frames` gives, from the pictures of a choice."""
    height, width = canvas.images.shape[1:3]
    take = announce(plan, canvas.choice, strategy, (width, height))
    chosen = take.plan
    return take.info, FrameSample(
        strategy, canvas.images, chosen.indices, chosen.timestamps_sec, chosen.warnings
    )


def announce(plan: Scan, choice: Choice, strategy: Strategy, size: tuple[int, int]) -> Take:
    """A choice in terms of the video; `size` is width and height of the pictures."""
    indices = choice.selection.indices
    sampled = SamplePlan(
        strategy=strategy,
        indices=indices,
        timestamps_sec=tuple(choice.timeline.times[list(indices)].tolist()),
        warnings=(*plan.warnings, *choice.warnings, *choice.selection.warnings),
    )
    return Take(_as_decoded(plan.info, choice.timeline), sampled, size[1], size[0], plan.shape.pose)


def chooser(
    strategy: Strategy,
    frames: int | None,
    fps: float | None,
    max_frames: int | None,
    start_sec: float | None,
    end_sec: float | None,
) -> Choose:
    """How frames are chosen from a timeline, by the arguments of `sample_frames`."""
    if strategy == "uniform":
        assert frames is not None, "uniform sampling needs the number of frames"
        pick = partial(uniform, n=frames, start_sec=start_sec, end_sec=end_sec)
    else:
        assert fps is not None, "sampling by fps needs the rate"
        pick = partial(by_fps, fps=fps, max_frames=max_frames, start_sec=start_sec, end_sec=end_sec)
    return lambda timeline: pick(timeline.times, timeline.end)


def _as_decoded(info: VideoInfo, timeline: Timeline) -> VideoInfo:
    """The info with the frames that there are, where decoding found other ones than the packets promised."""
    count, duration = len(timeline), timeline.end
    return replace(info, frames_total=count, duration_sec=duration, fps=count / duration)
