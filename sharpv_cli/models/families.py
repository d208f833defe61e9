"""The table of families: what is particular to each VideoLLM, one short layout function a family.

Importing this module imports no torch, so that `sharpv models list` is quick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Family:
    """One row of the table.

    `layout(config, inputs)` reads the model's config and the processor's output (batch of one).
    `positions` is the kind of position ids its language model takes ("1d" can be made contiguous).
    `frames_per_slot` is how many sampled frames its vision tower merges into one row of slots.
    """

    model_type: str
    name: str
    layout: Layout
    positions: Literal["1d", "mrope"] = "1d"
    frames_per_slot: int = 1


def _llava_onevision(config: Any, inputs: Mapping[str, Tensor]) -> FrameLayout:
    """One run of T * f tokens, where pooling halves the patch grid, and one newline token at its end."""
    run = (inputs["input_ids"][0] == config.video_token_id).nonzero().flatten()
    patches = config.vision_config.image_size // config.vision_config.patch_size
    side = math.ceil(patches / 2)
    frames = inputs["pixel_values_videos"].shape[1]
    return FrameLayout(run[:-1].view(frames, side * side), (side, side))


FAMILIES: Mapping[str, Family] = {
    family.model_type: family
    for family in (Family("llava_onevision", "LLaVA-OneVision", layout=_llava_onevision),)
}


def family_of(model_type: str | None, model_id: str) -> Family:
    """The family of a checkpoint's `model_type`; ModelError names the supported ones otherwise."""
    if model_type is not None and model_type in FAMILIES:
        return FAMILIES[model_type]
    raise ModelError(
        f"{model_id}: model type {model_type!r} is not supported",
        hint=f"supported: {', '.join(FAMILIES)}",
    )
