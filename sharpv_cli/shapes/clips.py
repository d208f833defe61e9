"""Scenes as real video files: sizes, rates, codecs and qualities as ShapesQA lists them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sharpv_cli.shapes.render import as_batch, background, render
from sharpv_cli.shapes.world import COLOURS, SHAPES, Scene, sample_scene
from sharpv_cli.video.encoding import Codec, Quality, write_clip

_SHORTEST, _LONGEST = 96, 480  # pixels
_CHUNK = 8  # frames drawn at once: enough to be quick, few enough to stay in the cache
_SUFFIXES = {"h264": (".mp4", ".mkv"), "vp9": (".webm", ".mkv"), "mpeg4": (".avi", ".mp4")}


@dataclass(frozen=True, slots=True)
class Clip:
    """A scene and how it is filmed: pixels, frames per second, seconds, codec and quality."""

    scene: Scene
    width: int
    height: int
    fps: int
    duration_sec: float
    codec: Codec
    quality: Quality
    suffix: str
    ground_seed: int

    @property
    def frames_total(self) -> int:
        return round(self.fps * self.duration_sec)


def sample_clip(rng: random.Random) -> Clip:
    """Draw a clip of the benchmark."""
    scene = sample_scene(rng)
    longer_over_shorter = max(scene.width, scene.height)
    shorter = rng.uniform(_SHORTEST, _LONGEST / longer_over_shorter)
    codecs: tuple[Codec, ...] = ("h264", "vp9", "mpeg4")
    qualities: tuple[Quality, ...] = ("high", "medium", "low")
    codec = rng.choices(codecs, (0.5, 0.25, 0.25))[0]
    return Clip(
        scene=scene,
        width=_even(shorter * scene.width),
        height=_even(shorter * scene.height),
        fps=rng.randint(8, 30),
        duration_sec=rng.uniform(2, 8),
        codec=codec,
        quality=rng.choice(qualities),
        suffix=rng.choice(_SUFFIXES[codec]),
        ground_seed=rng.getrandbits(32),
    )


def _even(pixels: float) -> int:
    return 2 * round(pixels / 2)


def frames(clip: Clip) -> Iterator[NDArray[np.uint8]]:
    """Every frame of the clip, uint8 RGB [H, W, 3]."""
    generator = torch.Generator().manual_seed(clip.ground_seed)
    ground = background(1, clip.height, clip.width, generator)
    scenes = as_batch([clip.scene], tuple(COLOURS))
    kinds = [[SHAPES.index(o.kind)] for o in clip.scene.objects]
    total = clip.frames_total
    for start in range(0, total, _CHUNK):
        times = torch.arange(start, min(start + _CHUNK, total)).add(0.5)[None] / total
        with torch.no_grad():
            drawn = render(scenes, ground, times, kinds=kinds).frames[0]
        yield from (drawn * 255).round().byte().permute(0, 2, 3, 1).numpy()


def write(clip: Clip, path: Path) -> None:
    """Encode the clip; the container is the path's suffix."""
    write_clip(path, frames(clip), clip.fps, codec=clip.codec, quality=clip.quality)
