"""Small pictures of a long clip, to look at: so small that all together take little memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.types import FrameSample

if TYPE_CHECKING:
    from sharpv_cli.video.sinks import Take

THUMBNAIL_BYTES = 64_000_000  # of all small pictures of a clip together


def blank_sample(take: Take) -> FrameSample:
    """The sample of a clip whose pictures are still to come; until then they are black."""
    shrink = min(1.0, math.sqrt(THUMBNAIL_BYTES / (3 * len(take) * take.height * take.width)))
    height, width = (max(1, int(side * shrink)) for side in (take.height, take.width))
    return FrameSample(
        strategy=take.plan.strategy,
        images=np.zeros((len(take), height, width, 3), np.uint8),
        indices=take.plan.indices,
        timestamps_sec=take.plan.timestamps_sec,
        warnings=take.plan.warnings,
        decoded=(take.height, take.width),
    )


def fill(sample: FrameSample, start: int, images: NDArray[np.uint8]) -> None:
    """Put small pictures of `images`, uint8 RGB [n, H, W, 3], into the sample, from frame `start` on."""
    sample.images[start : start + len(images)] = shrunk(images, *sample.images.shape[1:3])


def shrunk(images: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Pictures [n, H, W, 3] at a smaller size; each pixel is the mean of four, which is quick."""
    if images.shape[1:3] == (height, width):
        return images
    rows, columns = (
        (2 * np.arange(2 * small) + 1) * large // (4 * small)
        for small, large in zip((height, width), images.shape[1:3], strict=True)
    )
    picked = images[:, rows[:, None], columns].reshape(len(images), height, 2, width, 2, 3)
    mean: NDArray[np.uint8] = (picked.astype(np.uint16).sum((2, 4)) // 4).astype(np.uint8)
    return mean
