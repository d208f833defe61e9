"""What the auxiliary loss asks of every patch of the vision tower."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from sharpv_cli.shapes.letters import PITCH
from sharpv_cli.shapes.render import Rendered, SceneBatch
from sharpv_cli.training import checkpoint
from sharpv_cli.training.staging import UNNAMED, Staged

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Targets:
    """Per patch [B, T, patches]: colour, kind, letter and its place in the word (0: none, else index + 1), geometry
    [..., 3]."""

    colour: Tensor
    kind: Tensor
    geometry: Tensor
    letter: Tensor
    place: Tensor


def patch_targets(drawn: Rendered, scenes: SceneBatch) -> Targets:
    """Of ShapesQA's own clips."""
    slots = range(drawn.coverage.shape[2])
    columns = [
        torch.stack([scenes.column(k, name)[:, 0, 0, 0] for k in slots], 1)
        for name in ("colour", "colour_end", "kind")
    ]
    turned = drawn.states[..., 3]
    colour = torch.where(turned > 0, columns[1][:, None], columns[0][:, None])
    objects = _on_patches(
        drawn.coverage, colour, columns[2][:, None].expand_as(colour), drawn.states[..., :3]
    )
    nothing = torch.zeros_like(objects[0])
    return Targets(*objects, letter=nothing, place=nothing)


def staged_targets(shares: Tensor, clips: Staged) -> Targets:
    """Of another world's; `shares` [B, T, S, H, W] are what each object shows."""
    place = clips.states[..., 4:6] / clips.size[:, None, None]
    geometry = torch.cat([place, clips.states[..., 6:7]], dim=-1)
    objects = _on_patches(shares, clips.colours, clips.states[..., 0], geometry)
    return Targets(*objects, *_writing(clips))


def _writing(clips: Staged) -> tuple[Tensor, Tensor]:
    """The letter at the middle of each patch, and which of its word it is."""
    middles = (torch.arange(checkpoint.GRID, device=clips.size.device) + 0.5) / checkpoint.GRID
    batch, count = clips.offsets.shape[:2]
    letter = torch.zeros(
        batch, count, checkpoint.GRID, checkpoint.GRID, dtype=torch.long, device=middles.device
    )
    place = torch.zeros_like(letter)
    for sign in range(clips.letters.shape[1]):
        x, y, high = (clips.where[:, sign, :, k, None] for k in range(3))
        rows, columns = (clips.points[:, sign, k, None, None] for k in range(2))
        point = (high / (rows + 2)).clamp(min=1e-4)
        # Points from the left of the first letter, with half of the gap before it, and from the middle line.
        across = (middles * clips.size[:, None, :1] - x) / point + (columns + 1) / 2
        down = (middles * clips.size[:, None, 1:] - y) / point
        which = (across / PITCH).floor().long()
        known = which.clamp(0, clips.letters.shape[2] - 1)
        code = clips.letters[:, sign, None].expand(-1, count, -1).gather(2, known)
        code = torch.where(which == known, code, 0)[:, :, None]
        there = (down.abs() <= rows / 2)[..., None] & (code > 0)
        letter = torch.where(there, code, letter)
        place = torch.where(there, known[:, :, None] + 1, place)
    return letter.flatten(2), place.flatten(2)


def _on_patches(
    coverage: Tensor, colour: Tensor, kind: Tensor, geometry: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Colour, kind and geometry: which object covers most of each patch, if any covers enough and is one."""
    shares = F.avg_pool2d(coverage.flatten(0, 1), checkpoint.PATCH_SIZE).view(*coverage.shape[:3], -1)
    share, which = shares.max(dim=2)
    called = colour.gather(2, which)
    there = (share > 0.12) & (called != UNNAMED)
    return (
        torch.where(there, called + 1, 0).long(),
        torch.where(there, kind.gather(2, which) + 1, 0).long(),
        geometry.gather(2, which[..., None].expand(-1, -1, -1, 3)),
    )
