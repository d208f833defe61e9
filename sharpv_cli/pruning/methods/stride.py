"""Every n-th token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sharpv_cli.pruning.plan import Budget, KeepPlan, Method


@dataclass(frozen=True, slots=True)
class Stride(Method):
    """Uniform stride, the baseline that looks at nothing: token floor(i n / k) of the clip's n, for i = 0 .. k - 1.

    It runs over the whole clip in raster order. A stride that is a multiple of the grid's width keeps columns, one
    that is a multiple of f keeps the same few places of every frame: that is the method, not a fault of ours.
    """

    def plan(self, features: Tensor, budget: Budget) -> KeepPlan:
        frames, tokens, _ = features.shape
        total, kept = frames * tokens, budget.tokens
        assert kept <= total, (kept, total)
        keep = torch.zeros(total, dtype=torch.bool, device=features.device)
        keep[torch.arange(kept, device=features.device) * total // max(kept, 1)] = True
        return KeepPlan(keep.view(frames, tokens))
