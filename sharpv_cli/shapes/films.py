"""Worlds beside ShapesQA's own, as real video files: drawn and encoded a few frames at a time, however long."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from sharpv_cli.shapes.filmed import Filmed
from sharpv_cli.shapes.letters import mask_of
from sharpv_cli.shapes.painting import Grid, Tensor, drifting, paint, plate

CANVAS = 1.6
"""The ground's sides over the frame's: what it may drift without showing an edge."""
_CHUNK = 8  # frames drawn at once: enough to be quick, few enough to stay in the cache

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Sign:
    """A plate before everything else, with `text` on it, or blank and of some `points` (rows, columns) instead.

    Its centre and height are in units of the frame's shorter side.
    """

    text: str
    x: float
    y: float
    height: float
    plate: Colour
    ink: Colour
    points: tuple[int, int] = (0, 0)

    @property
    def mask(self) -> Tensor:
        """What is written, in points; a plate has a margin of one around it."""
        return mask_of(self.text.upper()) if self.text else torch.zeros(self.points)

    @property
    def half_width(self) -> float:
        rows, columns = self.mask.shape
        return self.height * (columns + 2) / (rows + 2) / 2


class World(Protocol):
    """What a clip shows at any time; lengths in units of the shorter side, times in seconds."""

    @property
    def width(self) -> float: ...
    @property
    def height(self) -> float: ...
    @property
    def kinds(self) -> Sequence[int]:
        """The shape of each slot."""

    @property
    def signs(self) -> Sequence[Sign]: ...
    def states(self, times: Sequence[float]) -> Tensor:
        """float32 [T, slots, len(STATE)], without the camera."""

    def camera(self, times: Sequence[float]) -> Tensor:
        """float32 [T, 2]: how far all that is seen is shifted, right and down."""

    def drift(self, times: Sequence[float]) -> Tensor:
        """float32 [T, 2]: how far the ground has moved by itself."""


@dataclass(frozen=True, slots=True)
class Film(Filmed):
    """A world before a ground of a `tint` and some `texture`. `counts` gives each frame its place in time.

    They rise, in units of 1 / fps: where some are missing the rate varies.
    """

    world: World
    ground_seed: int
    tint: tuple[float, float, float]
    texture: float
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        assert self.counts[0] == 0 and all(a < b for a, b in pairwise(self.counts))

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        generator = torch.Generator().manual_seed(self.ground_seed)
        sides = (math.ceil(self.height * CANVAS), math.ceil(self.width * CANVAS))
        canvas = tinted(grain(1, *sides, generator), torch.tensor([self.tint]), torch.tensor([self.texture]))
        for start in range(0, len(self.counts), _CHUNK):
            times = [(count + 0.5) / self.fps for count in self.counts[start : start + _CHUNK]]
            with torch.no_grad():
                drawn = self._drawn(canvas, times)
            yield from (drawn * 255).round().byte().permute(0, 2, 3, 1).numpy()

    def place(self, index: int) -> int:
        return self.counts[index]

    def _drawn(self, canvas: Tensor, times: Sequence[float]) -> Tensor:
        world = self.world
        camera, states = world.camera(times), world.states(times)
        states[:, :, 4:6] += camera[:, None]
        there = states[:, :, -1].any(dim=0).nonzero()[:, 0].tolist()  # slots that nothing is in cost nothing
        size = torch.tensor([[world.width, world.height]])
        frames = drifting(
            canvas, -(camera + world.drift(times))[None] / size, 1 / CANVAS, self.height, self.width
        )
        grid = Grid.of(size, self.height, self.width)
        if there:
            frames, _ = paint(frames, states[None, :, there], grid, kinds=[[world.kinds[k]] for k in there])
        for sign in world.signs:
            mask = sign.mask
            points = torch.tensor([mask.shape])
            frames = plate(
                frames, mask[None], points, placed(sign, camera)[None], colours_of(sign)[None], grid
            )
        return frames[0].clamp(0, 1)


def grain(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Clouds in colours with leaves before them, float32 [B, 3, H, W] of -0.5 to 0.5."""

    def noise(channels: int, cells: int) -> Tensor:
        coarse = torch.rand(batch, channels, cells, cells, device=generator.device, generator=generator)
        return F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False).clamp(0, 1) - 0.5

    return 0.5 * noise(3, 6) + 0.3 * noise(1, 24) + 0.2 * noise(1, 64)


def tinted(texture: Tensor, tint: Tensor, amount: Tensor) -> Tensor:
    """Grounds [B, 3, H, W] of a colour of ours, [B, 3], with an `amount` [B] of texture."""
    return (tint[:, :, None, None] + amount[:, None, None, None] * texture).clamp(0, 1)


def placed(sign: Sign, camera: Tensor) -> Tensor:
    """Where a sign is in each frame: as `plate` takes it, [T, 4]."""
    still = torch.tensor([sign.x, sign.y, sign.height, 1.0]).expand(len(camera), 4)
    return torch.cat([still[:, :2] + camera, still[:, 2:]], dim=1)


def colours_of(sign: Sign) -> Tensor:
    """[2, 3], 0 to 1."""
    return torch.tensor([sign.plate, sign.ink]) / 255
