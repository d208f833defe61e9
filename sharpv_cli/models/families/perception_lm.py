"""PerceptionLM: frames of one size in one run of tokens, through a vision tower of timm's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sharpv_cli.errors import ModelError
from sharpv_cli.models.families.family import Family, FrameLayout, placeholders, split

if TYPE_CHECKING:
    from torch import Tensor


def _patch(config: Any) -> int:
    """timm's models say their patch size in an argument, or else in their name."""
    vision = config.vision_config
    if "patch_size" in (vision.model_args or {}):
        return int(vision.model_args["patch_size"])
    if named := re.search(r"_patch(\d+)", vision.architecture):
        return int(named[1])
    raise ModelError(
        f"its vision tower {vision.architecture!r} does not say its patch size",
        hint="pick another checkpoint",
    )


def _tokens(config: Any, pixels: int) -> int:
    """Tokens along a side of so many pixels."""
    count: int = pixels // _patch(config) // config.projector_pooling_ratio
    return count


def _layout(config: Any, inputs: Mapping[str, Tensor]) -> FrameLayout:
    _, frames, _, height, width = inputs["pixel_values_videos"].shape
    grid = _tokens(config, height), _tokens(config, width)
    return split(placeholders(inputs, config.video_token_id), frames, grid)


def _grid(config: Any, processor: Any, frames: int, _h: int, _w: int) -> tuple[int, int, int]:
    size = processor.size
    return frames, _tokens(config, size["height"]), _tokens(config, size["width"])


PERCEPTION_LM = Family("perception_lm", "PerceptionLM", layout=_layout, grid=_grid, needs=("timm",))
