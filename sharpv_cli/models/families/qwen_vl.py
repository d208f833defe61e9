"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: pictures keep their shape, two frames make a temporal patch, M-RoPE.

A "frame" of SharpV is a temporal patch here; an odd number of frames has its last one doubled. Qwen3-VL adds
features of earlier vision layers to the hidden states of its first layers (DeepStack): after the layer, so
Memory SharpV sees a layer's own output without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sharpv_cli.models.families.family import Family, FrameLayout, placeholders, split
from sharpv_cli.models.families.resizing import enlarged, resized

if TYPE_CHECKING:
    from torch import Tensor

_MARKERS = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")


def _layout(config: Any, inputs: Mapping[str, Tensor]) -> FrameLayout:
    """The processor says how many patches there are; a square of them is merged into one token."""
    patches, height, width = inputs["video_grid_thw"][0].tolist()
    merge = config.vision_config.spatial_merge_size
    tokens = placeholders(inputs, config.video_token_id)
    return split(tokens, patches, (height // merge, width // merge))


def _qwen2_grid(_config: Any, processor: Any, frames: int, height: int, width: int) -> tuple[int, int, int]:
    """Each frame is resized by itself, to between two numbers of pixels."""
    least, most = processor.size["shortest_edge"], processor.size["longest_edge"]
    factor = processor.patch_size * processor.merge_size
    if getattr(processor, "cap_pixels_per_frame", None):
        share = int(processor.max_video_tokens * factor**2 * 0.9) * processor.temporal_patch_size // frames
        most = max(min(most, share), int(least * 1.05))
    rows, columns = resized(height, width, factor, least, most)
    return -(-frames // processor.temporal_patch_size), rows // factor, columns // factor


def _qwen3_grid(_config: Any, processor: Any, frames: int, height: int, width: int) -> tuple[int, int, int]:
    """The two numbers of pixels are those of the whole clip."""
    least, most = processor.size["shortest_edge"], processor.size["longest_edge"]
    step, factor = processor.temporal_patch_size, processor.patch_size * processor.merge_size
    frames = max(frames, step)  # a single frame is doubled first
    if getattr(processor, "cap_pixels_per_frame", None):
        most_a_frame = min(processor.max_video_tokens * factor**2, most // frames)
        most = max(most_a_frame, int(least * 1.05)) * frames
    height, width = enlarged(height, width, factor)
    rows, columns = resized(height, width, factor, least, most, frames, step)
    return -(-frames // step), rows // factor, columns // factor


QWEN2_VL, QWEN2_5_VL, QWEN3_VL = (
    Family(
        model_type,
        name,
        layout=_layout,
        grid=grid,
        tower="visual",
        positions="mrope",
        frames_per_slot=2,
        markers=_MARKERS,
    )
    for model_type, name, grid in (
        ("qwen2_vl", "Qwen2-VL", _qwen2_grid),
        ("qwen2_5_vl", "Qwen2.5-VL", _qwen2_grid),
        ("qwen3_vl", "Qwen3-VL", _qwen3_grid),
    )
)
