"""VidCom2: the tokens that stand out from their video and their frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpv_cli.errors import UsageError
from sharpv_cli.pruning.plan import Budget, KeepPlan, Method
from sharpv_cli.pruning.ranking import best, best_of_clip, places

ALPHAS = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class VidCom2(Method):
    """Video Compression Commander (arXiv 2505.14454): frames that differ from the video get a larger budget.

    Written from the authors' code (repository xuyang-liu16/VidCom2, `token_compressor/vidcom2/vidcom2.py`):

    - Only the half of the channels (`channels`) with the lowest variance over the clip's tokens is looked at, each
      token at unit length.
    - A token's similarity to a centre is a sum of Gaussians, sum over a in ALPHAS of exp(-|x - centre|^2 / 2a). The
      centres are the mean over the video and the mean over the frame.
    - Frame Compression Adjustment: a frame's uniqueness u_t is minus its mean similarity to the video, and its share
      of the tokens R (1 + p_t - mean p), at most 1, with p = softmax(u / `temperature`) and R the budget's share.
    - Adaptive Token Compression: in each frame round(share f) tokens stay, at least one, those with the lowest sum
      of both similarities.

    Rounding and both limits miss the budget by a few tokens. As in vLLM (`vllm/multimodal/video_prune/vidcom2.py`)
    the difference is then taken from, or added to, the whole clip by the same scores: the total is max(T, budget).
    """

    channels: float = 0.5
    temperature: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.channels <= 1:
            raise UsageError(
                f"channels={self.channels} is no share of the channels", hint="give 0 < channels <= 1"
            )
        if not self.temperature > 0:
            raise UsageError(f"temperature={self.temperature} is not positive", hint="VidCom2's own is 0.01")

    def plan(self, features: Tensor, budget: Budget) -> KeepPlan:
        frames, tokens, _ = features.shape
        unit = F.normalize(self._steady_channels(features.float()), dim=-1)
        to_video = _similarity(unit, unit.mean(dim=(0, 1), keepdim=True))
        distinct = -(to_video + _similarity(unit, unit.mean(dim=1, keepdim=True)))
        share = self._shares(-to_video.mean(dim=-1), budget.tokens / (frames * tokens))
        chosen = best(distinct, (share * tokens).round().long().clamp(1, tokens))
        # The frames' own choice ranks before everything else, so that cutting and filling up are one step.
        place = places(distinct.flatten()).view(frames, tokens) - frames * tokens * chosen
        return KeepPlan(best_of_clip(-place, max(frames, budget.tokens)))

    def _steady_channels(self, features: Tensor) -> Tensor:
        """The channels of lowest variance over all tokens, float32 [T, f, D] -> [T, f, channels D]."""
        variance = features.var(dim=(0, 1), correction=0)
        count = max(1, int(features.shape[-1] * self.channels))
        return features[..., best(-variance, count)]

    def _shares(self, uniqueness: Tensor, ratio: float) -> Tensor:
        """Each frame's share of its tokens, float32 [T] -> [T] in (0, 1]."""
        emphasis = torch.softmax(uniqueness / self.temperature, dim=0)
        return (ratio * (1 + emphasis - emphasis.mean())).clamp(max=1.0)


def _similarity(tokens: Tensor, centre: Tensor) -> Tensor:
    """The sum of Gaussians, [T, f, C] and [1 or T, 1, C] -> [T, f] in (0, len(ALPHAS)]."""
    squares = (tokens - centre).square().sum(dim=-1)
    return torch.stack([torch.exp(-squares / (2 * alpha)) for alpha in ALPHAS]).sum(dim=0)
