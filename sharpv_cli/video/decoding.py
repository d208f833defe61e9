"""The sampled frames of a video: scanned, chosen by time, decoded, and checked against the scan."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

from sharpv_cli.types import FrameSample, VideoInfo
from sharpv_cli.video.inorder import Choose, in_order
from sharpv_cli.video.local import FilePath
from sharpv_cli.video.probe import scanned
from sharpv_cli.video.sampling import by_fps, uniform
from sharpv_cli.video.seeking import by_seeking
from sharpv_cli.video.timeline import Timeline


def sample_frames(
    path: FilePath,
    *,
    strategy: Literal["uniform", "fps"],
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
    choose = _chooser(strategy, frames, fps, max_frames, start_sec, end_sec)
    with scanned(path) as (plan, opened):
        found = by_seeking(path, plan, choose(plan.timeline), opened=opened)
    found = found or in_order(path, plan, choose)
    sample = FrameSample(
        strategy=strategy,
        images=found.images,
        indices=found.selection.indices,
        timestamps_sec=tuple(found.timeline.times[list(found.selection.indices)].tolist()),
        warnings=(*plan.warnings, *found.warnings, *found.selection.warnings),
    )
    return _as_decoded(plan.info, found.timeline), sample


def _chooser(
    strategy: Literal["uniform", "fps"],
    frames: int | None,
    fps: float | None,
    max_frames: int | None,
    start_sec: float | None,
    end_sec: float | None,
) -> Choose:
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
