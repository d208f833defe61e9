"""DyCoke's temporal token merging: the tokens that changed most within windows of four frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sharpv_cli.pruning.plan import Budget, Scored
from sharpv_cli.pruning.ranking import best
from sharpv_cli.pruning.visual import dissimilarity

WINDOW = 4


@dataclass(frozen=True, slots=True)
class DyCoke(Scored):
    """DyCoke's first stage, temporal token merging (arXiv 2411.15024); not its pruning of the KV cache while decoding.

    "Merging" is the paper's word. The authors' code (repository KD-TAO/DyCoke, `llava/model/llava_arch.py`,
    `dycole_ttm`) averages nothing: a token that is too similar to its counterpart is dropped, and so it is here.
    In every window of four frames the first stays whole; the second is compared with the first, the fourth with the
    third and the third with the first, each token with the same place; the share K (`merging_ratio`) with the highest
    cosine similarity goes. A window so keeps 1/4 + 3/4 (1 - K), which is what the paper's table of ratios says.

    K follows from the budget: what the whole frames leave of it is shared out evenly, a token more to the earlier
    frames where it does not divide. At K = 1 ceil(T / 4) whole frames are left: below that the method cannot go, and
    keeps more than the budget.

    Three slips of the code are not followed, the paper has none of them: the second and fourth frames are ranked by
    the similarities of the pair before; the third frame of the last window stays whole; the last frame of an odd
    number vanishes. Here a shorter last window is treated as far as it goes.
    """

    def score(self, features: Tensor) -> Tensor:
        frame = torch.arange(features.shape[0], device=features.device)
        # Where nothing is compared, in the first frame of a window, everything stays anyway.
        before = (frame - torch.where(frame % WINDOW == 2, 2, 1)).clamp(min=0)
        return dissimilarity(features, features[before])

    def keep(self, scores: Tensor, budget: Budget) -> Tensor:
        frames, tokens = scores.shape
        return best(scores, _counts(frames, tokens, budget.tokens))


def _counts(frames: int, tokens: int, budget: int) -> Tensor:
    """How many tokens each frame keeps, int64 [T] on the CPU."""
    assert budget <= frames * tokens, (budget, frames, tokens)
    counts = torch.full((frames,), tokens)
    others = torch.arange(frames) % WINDOW != 0
    thinned = int(others.sum())
    if thinned:
        each, rest = divmod(max(0, budget - tokens * (frames - thinned)), thinned)
        counts[others] = each + (torch.arange(thinned) < rest).long()
    return counts
