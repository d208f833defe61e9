"""Grounds of training clips: the benchmark's, and those before which other people film."""

from __future__ import annotations

import torch

from sharpv_cli.shapes.render import SceneBatch, background

Tensor = torch.Tensor
_OTHER = 0.35  # of the clips
_TRIES = 6  # colours to choose from


def grounds(scenes: SceneBatch, side: int, generator: torch.Generator) -> Tensor:
    """Float32 [B, 3, side, side] in 0 to 1: ShapesQA's dark ones, and ones of any brightness that no object has."""
    dark = background(len(scenes.size), side, side, generator)

    def rand(*shape: int) -> Tensor:
        return torch.rand(len(dark), *shape, device=dark.device, generator=generator)

    tints = (rand(_TRIES, 1) + 0.6 * (rand(_TRIES, 3) - 0.5)).clamp(0, 0.95)
    chosen = _contrast(tints, scenes).argmax(1)[:, None, None].expand(-1, 1, 3)
    tint = tints.gather(1, chosen)[:, 0, :, None, None]
    other = (dark - dark.mean((2, 3), keepdim=True) + tint).clamp(0, 1)
    return torch.where(rand(1, 1, 1) < _OTHER, other, dark)


def _contrast(tints: Tensor, scenes: SceneBatch) -> Tensor:
    """How far each of K tints [B, K, 3] is from the nearest colour of an object, [B, K]."""
    there = scenes.columns("there")[..., 0] > 0
    start, end = (scenes.columns(f"r{when}", f"g{when}", f"b{when}") for when in ("", "_end"))
    away = torch.minimum(torch.cdist(tints, start), torch.cdist(tints, end))
    return away.masked_fill(~there[:, None], torch.inf).amin(-1)
