"""Frames and clips for benchmarks, drawn from a seed: a box that moves over blocks of noise."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.cores import cores
from sharpv_cli.video.encoding import write_clip

QUESTION = "What moves?"
_SECONDS, _FPS = 10, 12


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


def drawn_clips(count: int, side: int, folder: Path) -> list[Path]:
    """H.264 in mp4, each another scene; those that are there already are not written again."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"drawn-{side}-{number:03d}.mp4" for number in range(count)]
    steps = _SECONDS * _FPS

    def write(number: int) -> None:
        if not paths[number].exists():
            pictures = (drawn_frame(number, step, steps, side) for step in range(steps))
            write_clip(paths[number], pictures, _FPS)

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(write, range(count)))
    return paths
