"""What the auxiliary loss asks of every patch of the vision tower."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from sharpv_cli.shapes.render import Rendered, SceneBatch
from sharpv_cli.training import checkpoint
from sharpv_cli.training.worlds import Staged

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Targets:
    """Per patch [B, T, patches]: colour and kind (0: none, else index + 1), geometry [..., 3]."""

    colour: Tensor
    kind: Tensor
    geometry: Tensor


def patch_targets(drawn: Rendered, scenes: SceneBatch) -> Targets:
    """Of ShapesQA's own clips."""
    slots = range(drawn.coverage.shape[2])
    columns = [
        torch.stack([scenes.column(k, name)[:, 0, 0, 0] for k in slots], 1)
        for name in ("colour", "colour_end", "kind")
    ]
    turned = drawn.states[..., 3]
    colour = torch.where(turned > 0, columns[1][:, None], columns[0][:, None])
    return _on_patches(drawn.coverage, colour, columns[2][:, None].expand_as(colour), drawn.states[..., :3])


def staged_targets(shares: Tensor, clips: Staged) -> Targets:
    """Of another world's; `shares` [B, T, S, H, W] are what each object shows."""
    place = clips.states[..., 4:6] / clips.size[:, None, None]
    geometry = torch.cat([place, clips.states[..., 6:7]], dim=-1)
    return _on_patches(shares, clips.colours, clips.states[..., 0], geometry)


def _on_patches(coverage: Tensor, colour: Tensor, kind: Tensor, geometry: Tensor) -> Targets:
    """Which object covers most of each patch, if any covers enough."""
    shares = F.avg_pool2d(coverage.flatten(0, 1), checkpoint.PATCH_SIZE).view(*coverage.shape[:3], -1)
    share, which = shares.max(dim=2)
    there = share > 0.12
    return Targets(
        torch.where(there, colour.gather(2, which) + 1, 0).long(),
        torch.where(there, kind.gather(2, which) + 1, 0).long(),
        geometry.gather(2, which[..., None].expand(-1, -1, -1, 3)),
    )
