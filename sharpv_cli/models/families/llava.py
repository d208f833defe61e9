"""LLaVA-OneVision, LLaVA-NeXT-Video and Video-LLaVA: frames of one fixed size, all in one run of tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sharpv_cli.models.families.family import Family, FrameLayout, placeholders, split, square

if TYPE_CHECKING:
    from torch import Tensor


def _patches(config: Any) -> int:
    """Patches along a side of the vision tower's picture, which is square."""
    side: int = config.vision_config.image_size // config.vision_config.patch_size
    return side


def _frames(inputs: Mapping[str, Tensor]) -> int:
    return inputs["pixel_values_videos"].shape[1]


def _onevision_side(config: Any) -> int:
    """Pooling halves the patch grid, and rounds up."""
    return math.ceil(_patches(config) / 2)


def _onevision(config: Any, inputs: Mapping[str, Tensor]) -> FrameLayout:
    """One newline token ends the run."""
    side = _onevision_side(config)
    return split(placeholders(inputs, config.video_token_id), _frames(inputs), (side, side), tail=1)


def _next_side(config: Any) -> int:
    """Pooling rounds down."""
    side: int = _patches(config) // config.spatial_pool_stride
    return side


def _next_video(config: Any, inputs: Mapping[str, Tensor]) -> FrameLayout:
    side = _next_side(config)
    return split(placeholders(inputs, config.video_token_id), _frames(inputs), (side, side))


def _video_llava(config: Any, inputs: Mapping[str, Tensor]) -> FrameLayout:
    """Each frame begins with the tower's CLS token, which has no place in the frame and stays."""
    side = _patches(config)
    return split(placeholders(inputs, config.video_token_id), _frames(inputs), (side, side), lead=1)


LLAVA_ONEVISION = Family(
    "llava_onevision", "LLaVA-OneVision", layout=_onevision, grid=square(_onevision_side)
)
LLAVA_NEXT_VIDEO = Family("llava_next_video", "LLaVA-NeXT-Video", layout=_next_video, grid=square(_next_side))
VIDEO_LLAVA = Family(
    "video_llava", "Video-LLaVA", layout=_video_llava, grid=square(_patches), tower="video_tower"
)
