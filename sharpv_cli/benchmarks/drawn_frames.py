"""Frames for benchmarks, drawn from a seed: a box that moves over blocks of noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

QUESTION = "What moves?"


def drawn_frame(scene: int, step: int, steps: int, side: int) -> NDArray[np.uint8]:
    """The `step`-th of `steps` frames of a scene, uint8 RGB [side, side, 3]."""
    blocks = np.random.default_rng(scene).integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8)
    image = blocks.repeat(8, 0).repeat(8, 1)
    box = side // 4
    left = (side - box) * step // steps
    image[box : 2 * box, left : left + box] = (250, 20, 20)
    return image


def drawn_scenes(count: int, side: int) -> Iterator[NDArray[np.uint8]]:
    """Frames of a clip at one a second, with a new scene every minute."""
    for t in range(count):
        yield drawn_frame(t // 60, t % 60, 60, side)
