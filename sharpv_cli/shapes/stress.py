"""Films of held-out clips under which SharpV may fail: it prunes by how tokens differ in time and within a frame.

Every kind keeps the answers right: what is asked must be drawn from the scene of `Stressed.clip`, which is the scene
that is shown. Everything is drawn from the clip's own `ground_seed`, so that a clip always gives the same film.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from sharpv_cli.shapes.clips import Clip
from sharpv_cli.shapes.render import Tensor, as_batch, background, render
from sharpv_cli.shapes.world import COLOURS, SHAPES, Scene, Shape
from sharpv_cli.video.encoding import write_clip

Stress = Literal["noise", "camera", "cuts", "static", "tiny", "flashing"]
STRESS: tuple[Stress, ...] = get_args(Stress)

MAX_SHIFT = 0.04
"""How far the camera moves the picture at most, each way and in units of the shorter side.

An object that moves goes at least 0.26 of a side, and one that is asked for its corner ends 0.07 or more inside it.
"""
TINY_RADIUS = (0.03, 0.05)
"""Of the shorter side: below what training draws (0.07 to 0.16), and a few pixels in the smallest clips."""

_MAX_ZOOM = 1.15
_MARGIN = 1.1  # the ground's size over the frame's: room for a shift without showing an edge
_DIMMEST = 0.35
_WHITEST = 0.35  # more would make red pink and yellow white: the answers must stay right

_Frames = Iterator[NDArray[np.uint8]]
_View = Callable[[int], tuple[Scene, Tensor]]  # of a frame's index: the objects, and the ground [1, 3, H, W]


@dataclass(frozen=True, slots=True)
class Stressed:
    """A clip filmed under `kind` of stress; `clip.scene` is what is shown, so ask about that one."""

    clip: Clip
    kind: Stress

    def frames(self) -> _Frames:
        """Every frame, uint8 RGB [H, W, 3]: the same pixels whenever it is called."""
        return _FILMS[self.kind](self.clip, _rng(self.clip, self.kind))

    def write(self, path: Path) -> None:
        """Encode with the clip's rate, codec and quality; the container is the path's suffix.

        Raises UsageError when it cannot be written.
        """
        write_clip(path, self.frames(), self.clip.fps, codec=self.clip.codec, quality=self.clip.quality)


def stressed(clip: Clip, kind: Stress) -> Stressed:
    """Put `clip` under stress; `static` and `tiny` change its scene, the other kinds only the filming."""
    rng = _rng(clip, f"{kind} scene")
    change = {"static": _stilled, "tiny": _shrunk}.get(kind)
    if change is None:
        return Stressed(clip, kind)
    objects = tuple(change(shape, rng) for shape in clip.scene.objects)
    return Stressed(replace(clip, scene=replace(clip.scene, objects=objects)), kind)


def _rng(clip: Clip, purpose: str) -> random.Random:
    return random.Random(f"stress:{purpose}:{clip.ground_seed}")


def _stilled(shape: Shape, _: random.Random) -> Shape:
    """As it is at the start, for the whole clip; objects do not overlap at the start, so all stay visible."""
    return replace(
        shape,
        motion="still",
        direction=None,
        x1=shape.x0,
        y1=shape.y0,
        radius_end=shape.radius,
        colour_end=shape.colour,
        rgb_end=shape.rgb,
        appears_at=-1.0,
        vanishes_at=2.0,
        turns_at=2.0,
    )


def _shrunk(shape: Shape, rng: random.Random) -> Shape:
    """A growing or shrinking object takes the whole range, or its growth could not be seen."""
    small, large = TINY_RADIUS
    radius = rng.uniform(small, large)
    start, end = {"grow": (small, large), "shrink": (large, small)}.get(shape.motion, (radius, radius))
    return replace(shape, radius=start, radius_end=end)


def _plain(clip: Clip, _: random.Random) -> _Frames:
    return clip.frames()


def _noisy(clip: Clip, rng: random.Random) -> _Frames:
    """A sensor in the dark: Gaussian noise, new in every pixel of every frame, several times training's."""
    noise = np.random.default_rng(rng.getrandbits(32))
    amount = 255 * rng.uniform(0.08, 0.14)
    for frame in clip.frames():
        noisy = frame + amount * noise.standard_normal(frame.shape, dtype=np.float32)
        yield _as_bytes(noisy)


def _flashing(clip: Clip, rng: random.Random) -> _Frames:
    """Dark, plain or whitened pictures, each held for one to three frames; hues stay as they are."""
    levels = (-1, 0, 1)
    level, left = 0, 0
    for frame in clip.frames():
        if left == 0:
            level = rng.choice([other for other in levels if other != level])
            strength, left = rng.uniform(0.7, 1.0), rng.randint(1, 3)
        left -= 1
        yield _as_bytes(_lit(frame, level * strength))


def _lit(frame: NDArray[np.uint8], level: float) -> NDArray[np.float32]:
    """The frame dimmed (`level` down to -1) or mixed with white (up to 1)."""
    picture = frame.astype(np.float32)
    if level < 0:
        return picture * np.float32(1 + level * (1 - _DIMMEST))
    return picture + (255 - picture) * np.float32(level * _WHITEST)


def _as_bytes(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    return picture.round().clip(0, 255).astype(np.uint8)


def _cut(clip: Clip, rng: random.Random) -> _Frames:
    """The ground changes at two or three points, to black at one of them; the objects go on as if nothing was."""
    cuts = rng.randint(2, 3)
    starts = [
        round((k + rng.uniform(-0.25, 0.25)) / (cuts + 1) * clip.frames_total) for k in range(1, cuts + 1)
    ]
    seeds = [clip.ground_seed, *(rng.getrandbits(32) for _ in range(cuts))]
    grounds = [_ground(seed, clip.height, clip.width) for seed in seeds]
    grounds[rng.randint(1, cuts)] = torch.zeros(1, 3, clip.height, clip.width)
    return _filmed(clip, lambda index: (clip.scene, grounds[sum(index >= start for start in starts)]))


def _shaken(clip: Clip, rng: random.Random) -> _Frames:
    """A hand-held camera: a slow drift and a shake of all that is seen, and a slow zoom of the ground alone.

    A zoom of the objects would make "it grows" true.
    """
    shifts = _shake(clip, rng)
    zooms = [1.0, _MAX_ZOOM]
    rng.shuffle(zooms)
    ground = _ground(clip.ground_seed, math.ceil(clip.height * _MARGIN), math.ceil(clip.width * _MARGIN))

    def view(index: int) -> tuple[Scene, Tensor]:
        zoom = zooms[0] + (zooms[1] - zooms[0]) * index / clip.frames_total
        return _shifted(clip.scene, shifts[index]), _window(ground, clip, shifts[index], zoom)

    return _filmed(clip, view)


def _shake(clip: Clip, rng: random.Random) -> list[tuple[float, float]]:
    """How far the picture is shifted in each frame, right and down, at most MAX_SHIFT each way."""
    waves = [
        [(rng.uniform(*band), rng.uniform(0, math.tau)) for band in ((0.1, 0.3), (2.0, 4.0))] for _ in "xy"
    ]
    shifts = []
    for index in range(clip.frames_total):
        time = index / clip.fps
        x, y = (
            sum(0.45 * math.sin(math.tau * hertz * time + phase) for hertz, phase in axis)
            + rng.uniform(-0.1, 0.1)
            for axis in waves
        )
        shifts.append((MAX_SHIFT * x, MAX_SHIFT * y))
    return shifts


def _shifted(scene: Scene, shift: tuple[float, float]) -> Scene:
    dx, dy = shift
    objects = (replace(o, x0=o.x0 + dx, y0=o.y0 + dy, x1=o.x1 + dx, y1=o.y1 + dy) for o in scene.objects)
    return replace(scene, objects=tuple(objects))


def _window(ground: Tensor, clip: Clip, shift: tuple[float, float], zoom: float) -> Tensor:
    """What the frame shows of a `ground` that is larger than it by _MARGIN: [1, 3, H, W]."""
    width, height = clip.scene.width, clip.scene.height
    x, y = (-2 * s / (side * _MARGIN) for s, side in zip(shift, (width, height), strict=True))
    seen = 1 / (_MARGIN * zoom)
    affine = torch.tensor([[[seen, 0.0, x], [0.0, seen, y]]])
    grid = F.affine_grid(affine, [1, 3, clip.height, clip.width], align_corners=False)
    return F.grid_sample(ground, grid, padding_mode="border", align_corners=False)


def _ground(seed: int, height: int, width: int) -> Tensor:
    return background(1, height, width, torch.Generator().manual_seed(seed))


def _filmed(clip: Clip, view: _View) -> _Frames:
    """Draw the clip frame by frame, each with the objects and the ground that `view` gives for it."""
    kinds = [[SHAPES.index(o.kind)] for o in clip.scene.objects]
    for index in range(clip.frames_total):
        scene, ground = view(index)
        times = torch.tensor([[(index + 0.5) / clip.frames_total]])
        with torch.no_grad():
            drawn = render(as_batch([scene], tuple(COLOURS)), ground, times, kinds=kinds).frames[0, 0]
        yield (drawn * 255).round().byte().permute(1, 2, 0).numpy()


_FILMS: dict[Stress, Callable[[Clip, random.Random], _Frames]] = {
    "noise": _noisy,
    "camera": _shaken,
    "cuts": _cut,
    "static": _plain,
    "tiny": _plain,
    "flashing": _flashing,
}
