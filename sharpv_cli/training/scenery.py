"""Scenery: nothing that has a name in any world, as real footage is to this model; the right answer is not to know."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F

from sharpv_cli.shapes.films import grain
from sharpv_cli.shapes.hard import PALETTE
from sharpv_cli.shapes.painting import STATE
from sharpv_cli.shapes.world import SHAPES

Tensor = torch.Tensor
Row = tuple[float, ...]  # as STATE has it, and then how far it moves: right and down
_MOST_SURFACES, _MOST_THINGS, _PARTS = 6, 3, (3, 6)
_PAINTED = 0.5  # of a thing's colours have a name, as those of cars and clothes have
_WAVES = ((4, 0.10), (9, 0.07))  # bends: how many a side, and how far at most, in shares of it


@dataclass(frozen=True)
class Scenery:
    """Large surfaces before a rough ground, and things before them."""

    width: float
    height: float
    duration_sec: float
    rows: tuple[Row, ...]
    speed: tuple[float, float]
    signs: tuple[()] = ()

    @cached_property
    def kinds(self) -> Sequence[int]:
        return [int(row[0]) for row in self.rows]

    def states(self, times: Sequence[float]) -> Tensor:
        t = torch.tensor(times)[:, None] / self.duration_sec
        state = torch.tensor([row[: len(STATE)] for row in self.rows]).repeat(len(times), 1, 1)
        velocity = torch.tensor([row[len(STATE) :] for row in self.rows])
        state[:, :, 4:6] += t[..., None] * velocity
        return state

    def camera(self, times: Sequence[float]) -> Tensor:
        return torch.tensor(times)[:, None] * torch.tensor(self.speed)

    def drift(self, times: Sequence[float]) -> Tensor:
        return torch.zeros(len(times), 2)


def sample_scenery(rng: random.Random) -> Scenery:
    """Draw one."""
    aspect = rng.choice((16 / 9, 4 / 3, 1.0, 3 / 4, 9 / 16))
    width, height = max(aspect, 1.0), max(1 / aspect, 1.0)
    things = rng.randint(0, _MOST_THINGS)
    surfaces = rng.randint(0 if things else 1, _MOST_SURFACES)
    rows = [_surface(rng, width, height) for _ in range(surfaces)]
    for _ in range(things):
        rows += _thing(rng, width, height)
    speed = 0.03 if rng.random() < 0.5 else 0.003  # of a camera in the hand, and on a stand
    return Scenery(width, height, rng.uniform(2, 8), tuple(rows), (rng.gauss(0, speed), rng.gauss(0, speed)))


def _surface(rng: random.Random, width: float, height: float) -> Row:
    x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.25, 0.9)
    colour, moves = _dark(rng), [rng.gauss(0, 0.2) for _ in "xy"]
    return _row(rng, colour, x, y, radius, moves)


def _thing(rng: random.Random, width: float, height: float) -> Iterator[Row]:
    """A compact one that may move, as people and cars do: none of its parts is seen alone."""
    x, y, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.05, 0.3)
    wide, high = rng.choice(((1.0, 1.0), (0.4, 1.2), (1.2, 0.4)))
    moves = [rng.gauss(0, 0.4) if rng.random() < 0.7 else 0.0 for _ in "xy"]
    named = list(PALETTE.values())
    colours = [
        [part / 255 for part in rng.choice(named)] if rng.random() < _PAINTED else _dark(rng)
        for _ in range(rng.randint(1, 3))
    ]
    for _ in range(rng.randint(*_PARTS)):
        at = (x + rng.gauss(0, 0.4) * size * wide, y + rng.gauss(0, 0.4) * size * high)
        sway = [way + rng.gauss(0, 0.2) * size for way in moves]
        yield _row(rng, rng.choice(colours), *at, size * rng.uniform(0.3, 0.8), sway)


def _dark(rng: random.Random) -> list[float]:
    """Any colour, more often a dark one."""
    return [rng.random() ** 1.5 for _ in "rgb"]


def _row(
    rng: random.Random, colour: Sequence[float], x: float, y: float, radius: float, moves: Sequence[float]
) -> Row:
    kind, hole = float(rng.randrange(len(SHAPES))), rng.uniform(0.3, 0.9)
    return (kind, *colour, x, y, radius, hole, 1.0, *moves)


def weathered(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Bend all outlines, so that none is a shape's, lay a texture on every surface, and take some colour away.

    Float32 [B, T, 3, side, side] in 0 to 1, and the same back; each clip by its own amounts.
    """
    batch, count, _, side, _ = frames.shape

    def per_clip(low: float, high: float) -> Tensor:
        share = torch.rand(batch, 1, 1, 1, device=frames.device, generator=generator)
        return low + (high - low) * share

    bends = torch.zeros(batch, 2, side, side, device=frames.device)
    for cells, far in _WAVES:
        ways = torch.rand(batch, 2, cells, cells, device=frames.device, generator=generator) - 0.5
        ways = F.interpolate(ways, (side, side), mode="bicubic", align_corners=False)
        bends += per_clip(0.4, 1.0) * 4 * far * ways  # a side is 2 long there, and ways are 0.5 at most
    still = F.affine_grid(
        torch.eye(2, 3, device=frames.device)[None], [1, 3, side, side], align_corners=False
    )
    grid = (still + bends.permute(0, 2, 3, 1)).repeat_interleave(count, dim=0)
    bent = F.grid_sample(frames.flatten(0, 1), grid, padding_mode="reflection", align_corners=False)
    rough = bent.view_as(frames) + (per_clip(0, 0.5) * grain(batch, side, side, generator))[:, None]
    gray = rough.mean(2, keepdim=True)
    return torch.lerp(gray, rough, per_clip(0.15, 1.0)[:, None]).clamp(0, 1)
