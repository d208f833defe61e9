"""V-Random-star: random counts, random tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sharpv_cli.pruning.plan import Budget, Drawn, KeepPlan
from sharpv_cli.pruning.ranking import best, best_of_clip


@dataclass(frozen=True, slots=True)
class RandomStar(Drawn):
    """V-Random-star, an ablation of SharpV (arXiv 2511.08003): the frames' retention ratios are random as well.

    The paper does not say how they are drawn. Here each frame draws a weight, uniform in (0, 1), and the clip's tokens
    are drawn without replacement by their frame's weight (the keys of Efraimidis and Spirakis, 2006, in logarithms):
    so the total is the budget's exactly, and no frame has to be cut at f. Each frame gets one token first, as SharpV's
    `min_tokens` has it, where the budget has that many.
    """

    def plan(self, features: Tensor, budget: Budget) -> KeepPlan:
        frames, tokens, _ = features.shape
        generator = self.generator()
        weight = torch.rand(frames, 1, generator=generator, dtype=torch.float64)
        keys = torch.rand(frames, tokens, generator=generator, dtype=torch.float64).log() / weight
        if budget.tokens >= frames:
            keys = keys.masked_fill(best(keys, 1), torch.inf)
        return KeepPlan(best_of_clip(keys, budget.tokens).to(features.device))
