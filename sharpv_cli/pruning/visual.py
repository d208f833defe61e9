"""Visual SharpV: which visual tokens of each frame the language model gets to see (arXiv 2511.08003).

Pure tensor functions over leading batch dimensions, [..., T, f, d] -> [..., T, f]: no loop over frames and
no host synchronisation, so that the same code runs in a training loop on a GPU. Scores are float32 whatever
comes in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sharpv_cli.pruning.device import has_kernels
from sharpv_cli.pruning.ranking import places

# A ratio that should give a whole number of tokens may come out a rounding error above it: ceil adds one.
CEIL_GUARD = 1e-4


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one clip's visual tokens, float32.

    `spatial` S and `temporal` T (zeros for the first frame) are dissimilarities in [0, 2], `importance` is
    I = T + w S; all three [..., T, f]. `ratio` r [..., T] is each frame's own retention ratio, in [0, 1].
    """

    spatial: Tensor
    temporal: Tensor
    importance: Tensor
    ratio: Tensor


def dissimilarity(a: Tensor, b: Tensor) -> Tensor:
    """Dissim(a, b) = || a/|a| - b/|b| ||_2 in [0, 2] over the last dimension: [..., d] x 2 -> float32 [...].

    A zero vector stays zero. The norm of the difference is taken as it stands: sqrt(2 - 2 cos) is the same
    number on paper and NaN for equal vectors in float32.
    """
    return _norm(_unit(a.float()) - _unit(b.float()))


def score(features: Tensor, w: float = 1.0) -> Scores:
    """Score every visual token of a clip; `features` [..., T, f, d] as the language model would receive them.

    S_t[i] = Dissim(F_t[i], mean_i F_t), T_t[i] = Dissim(F_t[i], F_{t-1}[i]), I_t = T_t + w S_t and
    r_t = ||T_t||_2 / (2 sqrt f). The first frame has no T: I_1 = (1 + w) S_1 and r_1 comes from S_1.
    """
    assert features.ndim >= 3, features.shape
    fused = features.ndim == 3 and has_kernels(features) and not features.requires_grad
    spatial, temporal = _fused_dissimilarities(features) if fused else _dissimilarities(features)
    change = torch.cat([spatial[..., :1, :], temporal[..., 1:, :]], dim=-2)
    # The root of the mean square over its maximum, 2; rounding may lift it a hair above 1.
    ratio = (_norm(change) / (2 * spatial.shape[-1] ** 0.5)).clamp(max=1.0)
    return Scores(spatial, temporal, change + w * spatial, ratio)


def _dissimilarities(features: Tensor) -> tuple[Tensor, Tensor]:
    """S and T, float32 [..., T, f]."""
    frames = features.float()
    unit = _unit(frames)
    spatial = _norm(unit - _unit(_mean_direction(frames)))
    temporal = torch.zeros_like(spatial)
    temporal[..., 1:, :] = _norm(unit[..., 1:, :, :] - unit[..., :-1, :, :])
    return spatial, temporal


def _fused_dissimilarities(features: Tensor) -> tuple[Tensor, Tensor]:
    """The same in two kernels, each of which reads the features once; [T, f, d]."""
    from sharpv_cli.pruning import scoring_kernels as kernels  # imports triton

    frames, tokens, width = features.shape
    means = torch.empty(frames, width, dtype=torch.float32, device=features.device)
    spatial, temporal = (means.new_empty(frames, tokens) for _ in range(2))
    kernels.frame_means[(frames, -(-width // 128))](features, means, tokens, width, BLOCK=128)
    block = 1 << (width - 1).bit_length()
    kernels.dissimilarities[(frames, tokens)](
        features, means, spatial, temporal, tokens, width, BLOCK=block, num_warps=8
    )
    return spatial, temporal


def keep_counts(ratio: Tensor, tokens_per_frame: int, *, scale: float = 1.0, min_tokens: int = 1) -> Tensor:
    """k_t = min(f, max(min_tokens, ceil(scale r_t f - 1e-4))): float [..., T] -> int64 [..., T]."""
    wanted = torch.ceil(scale * ratio.float() * tokens_per_frame - CEIL_GUARD)
    return wanted.clamp(min=min_tokens, max=tokens_per_frame).long()


def select_adaptive(scores: Scores, *, scale: float = 1.0, min_tokens: int = 1) -> Tensor:
    """Keep each frame's k_t most important tokens, ties to the lower index: bool [..., T, f]."""
    rank = places(scores.importance)
    counts = keep_counts(scores.ratio, rank.shape[-1], scale=scale, min_tokens=min_tokens)
    return rank < counts[..., None]


def select_manual(scores: Scores, *, k: float, min_tokens: int = 1) -> Tensor:
    """Keep the tokens with I > k, and at least each frame's `min_tokens` most important: bool [..., T, f]."""
    return (scores.importance > k) | (places(scores.importance) < min_tokens)


def _norm(vectors: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
    return norm


def _unit(vectors: Tensor) -> Tensor:
    """Unit vectors over the last dimension. Scaling by the largest entry first keeps the squares in range."""
    scaled = _divide(vectors, vectors.abs().amax(dim=-1, keepdim=True))
    return _divide(scaled, _norm(scaled)[..., None])


def _mean_direction(frames: Tensor) -> Tensor:
    """A multiple of each frame's mean token, [..., T, f, d] -> [..., T, 1, d]; scaled to keep sums finite."""
    largest = frames.abs().amax(dim=(-2, -1), keepdim=True)
    return _divide(frames, largest).mean(dim=-2, keepdim=True)


def _divide(vectors: Tensor, size: Tensor) -> Tensor:
    """`vectors` / `size`, where a zero vector (size 0) stays zero."""
    return vectors / size.masked_fill(size == 0, 1.0)
