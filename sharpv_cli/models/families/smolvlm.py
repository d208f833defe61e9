"""SmolVLM: each frame is a picture behind its timestamp; its tokens are those of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sharpv_cli.models.families.family import Family, FrameLayout, placeholders, split, square

if TYPE_CHECKING:
    from torch import Tensor


def _side(config: Any) -> int:
    """Tokens along a side, after patches are shuffled into channels; frames are squeezed into a square."""
    vision = config.vision_config
    side: int = vision.image_size // vision.patch_size // config.scale_factor
    return side


def _layout(config: Any, inputs: Mapping[str, Tensor]) -> FrameLayout:
    side = _side(config)
    tokens = placeholders(inputs, config.image_token_id)
    return split(tokens, inputs["pixel_values"].shape[1], (side, side))


SMOLVLM = Family(
    "smolvlm",
    "SmolVLM",
    layout=_layout,
    grid=square(_side),
    tower="vision_model",
    nested_videos=True,  # until transformers 5.22; later ones take both
    needs=("num2words",),
)
