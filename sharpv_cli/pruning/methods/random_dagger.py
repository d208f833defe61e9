"""V-Random-dagger: SharpV's count of each frame, random tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sharpv_cli.pruning.plan import Budget, Drawn, KeepPlan
from sharpv_cli.pruning.ranking import best


@dataclass(frozen=True, slots=True)
class RandomDagger(Drawn):
    """V-Random-dagger, an ablation of SharpV (arXiv 2511.08003): as many tokens of each frame as SharpV, at random.

    What SharpV has over it, it has from which tokens of a frame it keeps. Every choice of a frame's k_t tokens is as
    likely as every other.
    """

    def plan(self, features: Tensor, budget: Budget) -> KeepPlan:
        frames, tokens, _ = features.shape
        assert budget.per_frame.shape == (frames,), (budget.per_frame.shape, frames)
        draw = torch.rand(frames, tokens, generator=self.generator(), dtype=torch.float64)
        return KeepPlan(best(draw, budget.per_frame).to(features.device))
