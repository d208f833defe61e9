"""Scenes as real video files: sizes, rates, codecs and qualities as ShapesQA lists them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sharpv_cli.shapes.filmed import Filmed
from sharpv_cli.shapes.render import as_batch, background, render
from sharpv_cli.shapes.world import COLOURS, SHAPES, Scene, sample_scene
from sharpv_cli.video.encoding import Codec, Quality

_SHORTEST, _LONGEST = 96, 480  # pixels
_CHUNK = 8  # frames drawn at once: enough to be quick, few enough to stay in the cache
_SUFFIXES = {"h264": (".mp4", ".mkv"), "vp9": (".webm", ".mkv"), "mpeg4": (".avi", ".mp4")}


@dataclass(frozen=True, slots=True)
class Clip(Filmed):
    """A scene before a ground."""

    scene: Scene
    ground_seed: int

    @property
    def frames_total(self) -> int:
        return round(self.fps * self.duration_sec)

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        generator = torch.Generator().manual_seed(self.ground_seed)
        ground = background(1, self.height, self.width, generator)
        scenes = as_batch([self.scene], tuple(COLOURS))
        kinds = [[SHAPES.index(o.kind)] for o in self.scene.objects]
        total = self.frames_total
        for start in range(0, total, _CHUNK):
            times = torch.arange(start, min(start + _CHUNK, total)).add(0.5)[None] / total
            with torch.no_grad():
                drawn = render(scenes, ground, times, kinds=kinds).frames[0]
            yield from (drawn * 255).round().byte().permute(0, 2, 3, 1).numpy()


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
