"""Frames in memory that come as those of a long file do: in chunks, without a file or a thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.thumbnails import blank_sample
from sharpv_cli.types import FrameSample, SamplePlan, VideoInfo
from sharpv_cli.video.sinks import Take


def take_of(info: VideoInfo, sample: FrameSample) -> Take:
    plan = SamplePlan(sample.strategy, sample.indices, sample.timestamps_sec, sample.warnings)
    return Take(info, plan, *sample.size)


class FakeFrames:
    """Stands for FramesAhead; `items` are what its `get` gives."""

    def __init__(self, items: list[Take | NDArray[np.uint8]]) -> None:
        self._items: Iterator[Take | NDArray[np.uint8]] = iter(items)
        self.touched = False
        self.closed = False
        self.busy_sec, self.waited_sec = 0.5, 1e-9

    def get(self) -> Take | NDArray[np.uint8] | None:
        item = next(self._items, None)
        self.touched |= isinstance(item, np.ndarray)
        return item

    def close(self) -> None:
        self.closed = True


def chunks_of(sample: FrameSample, size: int) -> list[NDArray[np.uint8]]:
    return [sample.images[start : start + size] for start in range(0, len(sample), size)]


def in_chunks(clip: Clip, size: int) -> Clip:
    """The same clip, its frames still to come."""
    frames = FakeFrames(chunks_of(clip.sample, size))
    sample = blank_sample(take_of(clip.info, clip.sample))
    return replace(clip, sample=sample, frames=frames)  # type: ignore[arg-type]
