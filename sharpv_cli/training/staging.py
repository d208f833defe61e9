"""Clips of the other worlds as tensors: put together on CPU workers, drawn in batches on the GPU."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from sharpv_cli.shapes.films import CANVAS, Sign, colours_of, grain, placed, tinted
from sharpv_cli.shapes.hard import PALETTE, HardWorld, tint_for
from sharpv_cli.shapes.letters import LETTERS
from sharpv_cli.shapes.painting import Grid, drifting, paint, plate
from sharpv_cli.training import checkpoint
from sharpv_cli.training.scenery import Scenery, weathered
from sharpv_cli.training.worlds import LONGEST, Shot, Source, World

Tensor = torch.Tensor
_ROWS, _COLUMNS = 7, 23  # points of the longest writing
_NAMES = list(PALETTE)
UNNAMED = -1
_OF_SIGNS = ("masks", "points", "where", "inks", "letters")


@dataclass(frozen=True, slots=True)
class Staged:
    """B clips at T moments, ready to be drawn: what `films.Film` draws one by one.

    `states` [B, T, S, len(STATE)] and the `colours` [B, T, S] that they are called (places in the palette, or
    UNNAMED); `size` [B, 2]; `offsets` [B, T, 2] of the ground in shares of the sides, its `tint` [B, 3] and `texture`
    [B]. Of N signs a clip: `masks` [B, N, rows, columns], `points` [B, N, 2], `where` [B, N, T, 4], `inks`
    [B, N, 2, 3] and what each says, `letters` [B, N, most]: places in LETTERS + 1, and 0 behind its end. `wild`: it is
    scenery, all of it.
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
    letters: Tensor
    wild: bool

    def to(self, device: torch.device | str) -> Staged:
        every = ((f.name, getattr(self, f.name)) for f in fields(self))
        moved: dict[str, Any] = {
            name: x.to(device, non_blocking=True) for name, x in every if isinstance(x, Tensor)
        }
        return replace(self, **moved)


def staged(shots: Sequence[Shot], source: Source, rng: random.Random) -> Staged:
    """Clips of as many moments each."""
    rows = [_row(shot.world, shot.times, rng) for shot in shots]
    return Staged(
        states=_filled([row["states"] for row in rows]),
        colours=_filled([row["colours"] for row in rows]),
        size=torch.tensor([[shot.world.width, shot.world.height] for shot in shots]),
        offsets=torch.stack([row["offsets"] for row in rows]),
        tint=torch.tensor([row["tint"] for row in rows]),
        texture=torch.tensor([rng.uniform(*source.texture) for _ in rows]),
        **{name: _stacked([row[name] for row in rows]) for name in _OF_SIGNS},
        wild=isinstance(shots[0].world, Scenery),
    )


def draw(
    clips: Staged,
    generator: torch.Generator,
    sharpness: Tensor,
    one: Callable[..., Any] | None = None,
    sign: Callable[..., Tensor] | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Frames [B, T, 3, H, W] and how much each object covers of them, [B T, 1, H, W] each; `one` as of `paint`, `sign`
    may be a compiled `plate`."""
    side = checkpoint.IMAGE_SIZE
    batch, count = clips.offsets.shape[:2]
    canvas = tinted(grain(batch, *(math.ceil(side * CANVAS),) * 2, generator), clips.tint, clips.texture)
    frames = drifting(canvas, clips.offsets, 1 / CANVAS, side, side)

    def flat(of_clips: Tensor) -> Tensor:
        return of_clips.repeat_interleave(count, dim=0)

    # All frames of all clips side by side: one shape for every number of frames, so nothing is compiled twice.
    grid = Grid.of(flat(clips.size), side, side)
    states, sharp = clips.states.flatten(0, 1)[:, None], flat(sharpness)
    shown, covers = paint(frames.flatten(0, 1)[:, None], states, grid, sharpness=sharp, one=one)
    for n in range(clips.masks.shape[1]):
        where = clips.where[:, n].flatten(0, 1)[:, None]
        of_sign = (flat(clips.masks[:, n]), flat(clips.points[:, n]), where, flat(clips.inks[:, n]))
        shown = (sign or plate)(shown, *of_sign, grid)
    frames = shown[:, 0].clamp(0, 1).view_as(frames)
    return weathered(frames, generator) if clips.wild else frames, covers


def shares(clips: Staged, covers: Sequence[Tensor]) -> Tensor:
    """What each object shows of every frame, [B, T, S, H, W]."""
    shown = visible(covers)[:, 0]
    return shown.view(*clips.offsets.shape[:2], *shown.shape[1:])


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
        **{name: [sign[name] for sign in signs] for name in _OF_SIGNS},
    }


def _sign(sign: Sign, camera: Tensor) -> dict[str, Tensor]:
    mask = sign.mask
    written = torch.zeros(_ROWS, _COLUMNS)
    if sign.text:
        written[: mask.shape[0], : mask.shape[1]] = mask
    points = torch.tensor([float(side) for side in mask.shape])
    letters = torch.tensor([LETTERS.index(letter) + 1 for letter in sign.text.upper()], dtype=torch.long)
    return {
        "masks": written,
        "points": points,
        "where": placed(sign, camera),
        "inks": colours_of(sign),
        "letters": F.pad(letters, (0, LONGEST - len(letters))),
    }


def _called(world: World, times: Sequence[float]) -> Tensor:
    """The colours' places in the palette [T, S]; scenery has none that is called so."""
    if isinstance(world, Scenery):
        return torch.full((len(times), len(world.rows)), UNNAMED)
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


def visible(covers: Sequence[Tensor]) -> Tensor:
    """The share of each pixel that shows each object, [B, T, slots, H, W]: what those in front of it leave."""
    shares, left = list[Tensor](), torch.ones_like(covers[0])
    for cover in reversed(covers):
        shares.append(cover * left)
        left = left * (1 - cover)
    return torch.stack(shares[::-1], dim=2)
