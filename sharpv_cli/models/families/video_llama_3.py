"""VideoLLaMA 3: frames keep their shape, each behind its time.

Its processor drops tokens that are like those of the frame before. That is switched off: SharpV does the same
work with the features, and needs whole frames for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sharpv_cli.models.families.family import Family, FrameLayout, placeholders, split
from sharpv_cli.models.families.resizing import resized

if TYPE_CHECKING:
    from torch import Tensor


def _layout(config: Any, inputs: Mapping[str, Tensor]) -> FrameLayout:
    frames, height, width = inputs["video_grid_thw"][0].tolist()
    merge = int(inputs["video_merge_sizes"][0])
    tokens = placeholders(inputs, config.video_token_id)
    return split(tokens, frames, (height // merge, width // merge))


def _grid(_config: Any, processor: Any, frames: int, height: int, width: int) -> tuple[int, int, int]:
    """The frames share one number of pixels."""
    factor = processor.patch_size * processor.merge_size
    least, most = processor.size["shortest_edge"], processor.size["longest_edge"] // frames
    rows, columns = resized(height, width, factor, least, most)
    return -(-frames // processor.temporal_patch_size), rows // factor, columns // factor


VIDEO_LLAMA_3 = Family(
    "video_llama_3",
    "VideoLLaMA 3",
    layout=_layout,
    grid=_grid,
    tower="vision_model",
    processor_options={"use_token_compression": False},
)
