"""The worlds beside ShapesQA's own in training: hard and long clips, and scenery that is of no world at all."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from sharpv_cli.shapes import hard, long
from sharpv_cli.shapes.films import CANVAS, Sign, colours_of, grain, placed, tinted
from sharpv_cli.shapes.hard import PALETTE, HardWorld, tint_for
from sharpv_cli.shapes.hard_questions import sample_hard_question
from sharpv_cli.shapes.long import LongWorld
from sharpv_cli.shapes.long_questions import sample_long_question
from sharpv_cli.shapes.offtopic import UNKNOWN
from sharpv_cli.shapes.painting import STATE, Grid, drifting, paint, plate
from sharpv_cli.shapes.questions import Question, sample_question
from sharpv_cli.shapes.world import SHAPES, sample_scene
from sharpv_cli.training import checkpoint

Tensor = torch.Tensor
_ROWS, _COLUMNS = 7, 23  # points of the longest writing
_NAMES = list(PALETTE)


@dataclass(frozen=True, slots=True)
class Staged:
    """B clips at T moments, ready to be drawn: what `films.Film` draws one by one.

    `states` [B, T, S, len(STATE)] and the `colours` [B, T, S] that they are called (places in the palette); `size`
    [B, 2]; `offsets` [B, T, 2] of the ground in shares of the sides, its `tint` [B, 3] and `texture` [B]. Of N signs a
    clip: `masks` [B, N, rows, columns], `points` [B, N, 2], `where` [B, N, T, 4] and `inks` [B, N, 2, 3].
    """

    states: Tensor
    colours: Tensor
    size: Tensor
    offsets: Tensor
    tint: Tensor
    texture: Tensor
    masks: Tensor
    points: Tensor
    where: Tensor
    inks: Tensor

    def to(self, device: torch.device | str) -> Staged:
        return Staged(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))


@dataclass(frozen=True)
class Scenery:
    """Nothing that has a name: large shapes of any colour before rough grounds, as real footage is to this model."""

    width: float
    height: float
    duration_sec: float
    rows: tuple[tuple[float, ...], ...]
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


World = HardWorld | LongWorld | Scenery


def sample_scenery(rng: random.Random) -> Scenery:
    """Draw one."""
    aspect = rng.choice((16 / 9, 4 / 3, 1.0, 3 / 4, 9 / 16))
    width, height = max(aspect, 1.0), max(1 / aspect, 1.0)
    rows = []
    for _ in range(rng.randint(1, 8)):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.25, 0.9)
        colour = [rng.random() ** 1.5 for _ in "rgb"]
        moves = [rng.gauss(0, 0.2) for _ in "xy"]
        rows.append(
            (float(rng.randrange(len(SHAPES))), *colour, x, y, radius, rng.uniform(0.3, 0.9), 1.0, *moves)
        )
    duration = rng.uniform(2, 8)
    return Scenery(width, height, duration, tuple(rows), (rng.gauss(0, 0.03), rng.gauss(0, 0.03)))


def _of_scenery(world: World, rng: random.Random) -> Question:  # noqa: ARG001 - the same of any
    """A question of ShapesQA's, about something that is not there."""
    return Question("scenery", sample_question(sample_scene(rng), rng, offtopic=0.0).text, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Source:
    """Where clips of a world and questions about them come from; `texture` is from how much to how much."""

    sample: Callable[[random.Random], Any]
    question: Callable[[Any, random.Random], Question]
    texture: tuple[float, float]


SOURCES: Mapping[str, Source] = {
    "hard": Source(hard.sample_world, sample_hard_question, (0.1, 0.3)),
    "long": Source(long.sample_world, sample_long_question, (0.0, 0.2)),
    "scenery": Source(sample_scenery, _of_scenery, (0.4, 1.4)),
}


def moments(rng: random.Random, duration_sec: float, frames: int) -> list[float]:
    """Where uniform sampling lands, in seconds: in the middle of the frame that is on screen."""
    fps = rng.uniform(6, 30)
    return [(int((k + 0.5) / frames * duration_sec * fps) + 0.5) / fps for k in range(frames)]


def staged(worlds: Sequence[World], source: Source, frames: int, rng: random.Random) -> Staged:
    """Clips at so many moments each."""
    rows = [_row(world, moments(rng, world.duration_sec, frames), rng) for world in worlds]
    return Staged(
        states=_filled([row["states"] for row in rows]),
        colours=_filled([row["colours"] for row in rows]),
        size=torch.tensor([[world.width, world.height] for world in worlds]),
        offsets=torch.stack([row["offsets"] for row in rows]),
        tint=torch.tensor([row["tint"] for row in rows]),
        texture=torch.tensor([rng.uniform(*source.texture) for _ in rows]),
        **{name: _stacked([row[name] for row in rows]) for name in ("masks", "points", "where", "inks")},
    )


def draw(
    clips: Staged, generator: torch.Generator, sharpness: Tensor, one: Callable[..., Any] | None = None
) -> tuple[Tensor, Tensor]:
    """Frames [B, T, 3, H, W] and what each object shows of them [B, T, S, H, W]; `one` as of `paint`."""
    side = checkpoint.IMAGE_SIZE
    batch, count = clips.offsets.shape[:2]
    canvas = tinted(grain(batch, *(math.ceil(side * CANVAS),) * 2, generator), clips.tint, clips.texture)
    frames = drifting(canvas, clips.offsets, 1 / CANVAS, side, side)
    # All frames of all clips side by side: one shape for every number of frames, so nothing is compiled twice.
    grid = Grid.of(clips.size.repeat_interleave(count, dim=0), side, side)
    flat, shares = paint(
        frames.flatten(0, 1)[:, None],
        clips.states.flatten(0, 1)[:, None],
        grid,
        sharpness=sharpness.repeat_interleave(count, dim=0),
        one=one,
    )
    for sign in range(clips.masks.shape[1]):
        flat = plate(
            flat,
            clips.masks[:, sign].repeat_interleave(count, dim=0),
            clips.points[:, sign].repeat_interleave(count, dim=0),
            clips.where[:, sign].flatten(0, 1)[:, None],
            clips.inks[:, sign].repeat_interleave(count, dim=0),
            grid,
        )
    shown, seen = flat[:, 0].clamp(0, 1), shares[:, 0]
    return shown.view(batch, count, *shown.shape[1:]), seen.view(batch, count, *seen.shape[1:])


def _row(world: World, times: list[float], rng: random.Random) -> dict[str, Any]:
    camera, states = world.camera(times), world.states(times)
    states[:, :, 4:6] += camera[:, None]
    size = torch.tensor([world.width, world.height])
    signs = [_sign(sign, camera) for sign in world.signs]
    return {
        "states": states,
        "colours": _called(world, times),
        "offsets": -(camera + world.drift(times)) / size,
        "tint": tint_for(rng, _seen(world)) if _seen(world) else tuple(rng.random() for _ in "rgb"),
        **{name: [sign[name] for sign in signs] for name in ("masks", "points", "where", "inks")},
    }


def _sign(sign: Sign, camera: Tensor) -> dict[str, Tensor]:
    mask = sign.mask
    written = torch.zeros(_ROWS, _COLUMNS)
    if sign.text:
        written[: mask.shape[0], : mask.shape[1]] = mask
    points = torch.tensor([float(side) for side in mask.shape])
    return {"masks": written, "points": points, "where": placed(sign, camera), "inks": colours_of(sign)}


def _called(world: World, times: Sequence[float]) -> Tensor:
    """The colours' places in the palette [T, S]; of scenery none is asked for."""
    if isinstance(world, Scenery):
        return torch.zeros(len(times), len(world.rows), dtype=torch.long)
    if isinstance(world, HardWorld):
        pairs = [(o.colour, o.colour_end, o.turns_at * world.duration_sec) for o in world.scene.objects]
    else:
        pairs = [(actor.colour, actor.colour_end, actor.turns) for actor in world.actors]
    return torch.tensor(
        [[_NAMES.index(end if time >= turns else start) for start, end, turns in pairs] for time in times]
    )


def _seen(world: World) -> list[tuple[int, int, int]]:
    if isinstance(world, Scenery):
        return []
    objects = world.scene.objects if isinstance(world, HardWorld) else world.actors
    return [rgb for one in objects for rgb in (one.rgb, one.rgb_end)]


def _filled(rows: Sequence[Tensor]) -> Tensor:
    """[T, S, ...] of each clip as [B, T, S, ...], missing slots filled up with zeros: nothing is seen there."""
    return pad_sequence([row.transpose(0, 1) for row in rows], batch_first=True).transpose(1, 2)


def _stacked(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """[N, ...] of each clip as [B, N, ...]; a sign that is none has a height of zero, so nothing is seen of it."""
    most, like = max(map(len, rows)), next((row[0] for row in rows if row), None)
    if like is None:
        return torch.zeros(len(rows), 0)
    return torch.stack([torch.stack([*row, *[torch.zeros_like(like)] * (most - len(row))]) for row in rows])
