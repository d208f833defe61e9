"""InternVL: each frame is a picture of its own, in a line of text; its tokens are those of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sharpv_cli.models.families.family import Family, FrameLayout, placeholders, split, square

if TYPE_CHECKING:
    from torch import Tensor


def _side(config: Any) -> int:
    """Tokens along a side, after patches are shuffled into channels; the model takes square pictures only."""
    vision = config.vision_config
    return int(vision.image_size[0] // vision.patch_size[0] * config.downsample_ratio)


def _layout(config: Any, inputs: Mapping[str, Tensor]) -> FrameLayout:
    side = _side(config)
    tokens = placeholders(inputs, config.image_token_id)
    return split(tokens, inputs["pixel_values"].shape[0], (side, side))


INTERNVL = Family("internvl", "InternVL", layout=_layout, grid=square(_side))
