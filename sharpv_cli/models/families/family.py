"""What sharpv has to know of a family of VideoLLMs, and how a prompt's visual tokens are told apart by frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sharpv_cli.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """Where the visual tokens sit in the prompt.

    `slots` int64 [T, f]: sequence index of token j of frame t, in raster order of `grid` (rows, columns).
    Visual tokens outside of it (newline, CLS) count as text: they are never pruned or discarded.
    """

    slots: Tensor
    grid: tuple[int, int]

    def __post_init__(self) -> None:
        assert self.slots.ndim == 2, self.slots.shape
        assert self.slots.shape[1] == math.prod(self.grid), (self.slots.shape, self.grid)


Layout = Callable[[Any, "Mapping[str, Tensor]"], FrameLayout]
Grid = Callable[[Any, Any, int, int, int], tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table.

    `layout(config, inputs)` reads the model's config and the processor's output (batch of one). It raises
    ModelError where the tokens in the prompt are not those of the frames.
    `grid(config, video_processor, frames, height, width)` is (T, rows, columns) that `layout` will find for
    so many frames of that size in pixels: arithmetic, without pixels or weights.
    `tower` is the name of the stock model's part that encodes frames, and gives rows for rows.
    `positions` is the kind of position ids its language model takes ("1d" can be made contiguous).
    `frames_per_slot` is how many sampled frames its vision tower merges into one row of slots.
    `processor_options` go to the processor as they are; `nested_videos` says that it wants videos in a list a
    prompt. `markers` are words of its vocabulary, besides the processor's own, that no question may hold.
    `needs` are the packages, by the names they are installed and imported by, that it needs beside ours.
    """

    model_type: str
    name: str
    layout: Layout
    grid: Grid
    tower: str = "vision_tower"
    positions: Literal["1d", "mrope"] = "1d"
    frames_per_slot: int = 1
    processor_options: Mapping[str, Any] = field(default_factory=dict)
    nested_videos: bool = False
    markers: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def square(side: Callable[[Any], int]) -> Grid:
    """The grid of frames that all have one size: `side(config)` tokens high and wide."""

    def grid(config: Any, _processor: Any, frames: int, _height: int, _width: int) -> tuple[int, int, int]:
        return frames, side(config), side(config)

    return grid


def placeholders(inputs: Mapping[str, Tensor], token_id: int) -> Tensor:
    """Where the prompt holds visual tokens, int64 [n], rising."""
    return (inputs["input_ids"][0] == token_id).nonzero().flatten()


def split(tokens: Tensor, frames: int, grid: tuple[int, int], *, lead: int = 0, tail: int = 0) -> FrameLayout:
    """Share out visual tokens, int64 [n]: `lead` tokens and a raster of `grid` a frame, `tail` after the last.

    Raises ModelError when they are not exactly so many.
    """
    size = lead + math.prod(grid)
    if len(tokens) != frames * size + tail:
        raise ModelError(
            f"the prompt holds {len(tokens)} visual tokens, but {frames} frames of {grid[0]} x {grid[1]} "
            f"make {frames * size + tail}",
            hint="the checkpoint's processor and config.json do not fit each other: copy or download it again",
        )
    return FrameLayout(tokens[: frames * size].view(frames, size)[:, lead:], grid)
