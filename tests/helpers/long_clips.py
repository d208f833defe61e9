"""Frames in memory that come as those of a long file do: in chunks, without a file or a thread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from family_answers import clip_of
from numpy.typing import NDArray
from tiny_families import clip as clip_with

from sharpv_cli.models.families import FAMILIES
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.types import FrameSample, SamplePlan, VideoInfo
from sharpv_cli.video.frames import Frames
from sharpv_cli.video.sinks import Take

ONE_D = [name for name, family in FAMILIES.items() if family.positions == "1d"]
QUESTION = "What is shown?"
TIMES = (0.0, 0.5, 1.1, 1.5, 2.0, 2.6, 3.0, 3.5, 4.9, 5.0, 61.0)


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

    def abandon(self) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True


def chunks_of(sample: FrameSample, size: int) -> list[NDArray[np.uint8]]:
    return [sample.images[start : start + size] for start in range(0, len(sample), size)]


def in_chunks(clip: Clip, size: int) -> Clip:
    """The same clip, its frames still to come."""
    frames = FakeFrames(chunks_of(clip.sample, size))
    return replace(clip, frames=Frames.announced(take_of(clip.info, clip.sample), frames))


def clip_for(family: str, times: tuple[float, ...] = TIMES, **groups: Any) -> Clip:
    info, sample = clip_with(times)
    return replace(clip_of(family, **groups), frames=Frames(info, sample))
