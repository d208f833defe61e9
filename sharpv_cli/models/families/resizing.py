"""How Qwen's processors size frames, as transformers has it (`smart_resize`): known without importing PyTorch.

Tests compare it with the installed transformers.
"""

from __future__ import annotations

import math

_MOST_OBLONG = 200


def resized(
    height: int, width: int, factor: int, least: int, most: int, frames: int = 1, step: int = 1
) -> tuple[int, int]:
    """Height and width in whole multiples of `factor`, near their shape, so that pixels lie between the bounds.

    The bounds are on all `frames` together, which are taken `step` at a time. Raises ValueError for other shapes.
    """
    if max(height, width) / min(height, width) > _MOST_OBLONG:
        raise ValueError(
            f"absolute aspect ratio must be smaller than {_MOST_OBLONG}, got {max(height, width) / min(height, width)}"
        )
    rounded = [round(side / factor) * factor for side in (height, width)]
    pixels = round(frames / step) * step * math.prod(rounded)
    if pixels > most:
        shrink = math.sqrt((frames * height * width) / most)
        rounded = [max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width)]
    elif pixels < least:
        grow = math.sqrt(least / (frames * height * width))
        rounded = [math.ceil(side * grow / factor) * factor for side in (height, width)]
    return rounded[0], rounded[1]


def enlarged(height: int, width: int, factor: int) -> tuple[int, int]:
    """At least `factor` a side."""
    if min(height, width) >= factor:
        return height, width
    scale = max(factor / height, factor / width)
    return int(height * scale), int(width * scale)
