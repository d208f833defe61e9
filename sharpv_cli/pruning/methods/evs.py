"""Efficient Video Sampling: the tokens that changed most since the frame before."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sharpv_cli.pruning.plan import Budget, Scored
from sharpv_cli.pruning.ranking import best_of_clip
from sharpv_cli.pruning.visual import dissimilarity


@dataclass(frozen=True, slots=True)
class Evs(Scored):
    """Efficient Video Sampling as vLLM has it (`vllm/multimodal/video_prune/evs.py`, formerly `multimodal/evs.py`).

    The first frame stays whole, and of the others those tokens of the whole clip that have the highest 1 - cosine to
    the same place in the frame before. vLLM keeps max(f, int((1 - q) T f)); with a budget that is max(f, budget): it
    keeps a whole frame at least.

    Ranked is the distance of the unit vectors, sqrt(2 (1 - cosine)): the same order, but equal tokens are exactly 0
    apart, where 1 - cosine would rank a still background by its rounding errors. Zero vectors are the one difference:
    vLLM has their cosine as 0, here two of them are equal.
    """

    def score(self, features: Tensor) -> Tensor:
        first = torch.full(features.shape[1:2], torch.inf, device=features.device)
        return torch.cat([first[None], dissimilarity(features[1:], features[:-1])])

    def keep(self, scores: Tensor, budget: Budget) -> Tensor:
        return best_of_clip(scores, max(scores.shape[1], budget.tokens))
