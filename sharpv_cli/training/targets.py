"""What the auxiliary loss asks of every patch of the vision tower."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from sharpv_cli.shapes.render import Rendered
from sharpv_cli.training import checkpoint
from sharpv_cli.training.batches import Batch

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Targets:
    """Per patch [B, T, patches]: colour and kind (0: none, else index + 1), geometry [..., 3]."""

    colour: Tensor
    kind: Tensor
    geometry: Tensor


def patch_targets(drawn: Rendered, batch: Batch) -> Targets:
    """Which object covers most of each patch, if any covers enough."""
    coverage = F.avg_pool2d(drawn.coverage.flatten(0, 1), checkpoint.PATCH_SIZE)
    shares = coverage.view(*drawn.coverage.shape[:3], -1)  # [B, T, objects, patches]
    share, which = shares.max(dim=2)
    there = share > 0.12
    columns = [torch.stack([batch.scenes.column(k, name)[:, 0, 0, 0] for k in range(shares.shape[2])], 1)
               for name in ("colour", "colour_end", "kind")]  # fmt: skip
    turned = drawn.states[..., 3]
    colour = torch.where(turned > 0, columns[1][:, None], columns[0][:, None])
    kind = columns[2][:, None].expand_as(colour)
    geometry = drawn.states[..., :3].gather(2, which[..., None].expand(-1, -1, -1, 3))
    return Targets(
        torch.where(there, colour.gather(2, which) + 1, 0).long(),
        torch.where(there, kind.gather(2, which) + 1, 0).long(),
        geometry,
    )
