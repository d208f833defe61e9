"""Clips for the decoding benchmark: each frame carries its own number, so that a picture says which one it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.video.encoding import write_clip

FPS = 24
SIZE = (1280, 720)
_BITS = 16
_SCENE_FRAMES = 40 * FPS  # long scenes: GOPs end up at x264's default length of 250 frames


@dataclass(frozen=True, slots=True)
class BarcodeClip:
    """A clip on disk; frame i is on screen from `places[i] / FPS` seconds on, int64 [N]."""

    name: str
    path: Path
    places: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Recipe:
    name: str
    frames: int
    place: Callable[[int], int]


def _uneven(index: int) -> int:
    """A quick second, then a slow one: 24 frames at 24 fps, then 6 at 6 fps."""
    seconds, rest = divmod(index, 30)
    return seconds * 48 + (rest if rest < 24 else 24 + (rest - 24) * 4)


_RECIPES = (
    _Recipe("short-6s", 6 * FPS, lambda index: index),
    _Recipe("long-600s", 600 * FPS, lambda index: index),
    _Recipe("uneven-120s", 60 * 30, _uneven),
)


def barcode_clips(folder: Path) -> list[BarcodeClip]:
    """The benchmark's clips, 720p H.264 in mp4; those that are not in the folder yet are encoded into it.

    Raises UsageError when the folder cannot be written to.
    """
    clips = []
    for recipe in _RECIPES:
        path = folder / f"sharpv-{recipe.name}.mp4"
        if not path.exists():
            write_clip(path, _pictures(recipe.frames), FPS, place=recipe.place)
        places = np.array([recipe.place(index) for index in range(recipe.frames)], np.int64)
        clips.append(BarcodeClip(recipe.name, path, places))
    return clips


def read_number(image: NDArray[np.uint8]) -> int:
    """The number in the barcode of a picture, uint8 RGB [H, W, 3], also after lossy coding and scaling."""
    height, width = image.shape[:2]
    row = image[height // 32 : height * 3 // 32].mean((0, 2))
    centres = (np.arange(_BITS) + 0.5) * width / _BITS
    return sum(int(row[int(x) - 3 : int(x) + 4].mean() > 127) << bit for bit, x in enumerate(centres))


def _pictures(count: int) -> Iterator[NDArray[np.uint8]]:
    """A camera that pans over a textured ground, cutting to another place now and then."""
    width, height = SIZE
    ground = _ground(np.random.default_rng(0), 3 * width, 3 * height)
    for number in range(count):
        scene, within = divmod(number, _SCENE_FRAMES)
        left = (scene * 397 + within * 2) % (2 * width)
        top = int(height + height * np.sin(scene + within / 90))
        image = ground[top : top + height, left : left + width].copy()
        _write_number(image, number)
        yield image


def _ground(random: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    """Noise at several scales, as natural pictures have it. RGB [height, width, 3]."""
    total = np.zeros((height, width, 3), np.float32)
    for cell in (4, 16, 48, 144):
        coarse = random.normal(0, 5 * cell**0.4, (height // cell + 1, width // cell + 1, 3))
        total += coarse.repeat(cell, 0).repeat(cell, 1)[:height, :width]
    return np.clip(128 + total, 0, 255).astype(np.uint8)


def _write_number(image: NDArray[np.uint8], number: int) -> None:
    height, width, _ = image.shape
    bits = number >> (np.arange(width) * _BITS // width) & 1
    image[: height // 8] = (255 * bits).astype(np.uint8)[None, :, None]
