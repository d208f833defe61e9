"""Memory SharpV's measure: how much of the visual input a decoder layer still holds (arXiv 2511.08003)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpv_cli.pruning.device import has_kernels


def similarity(hidden: Tensor, embeddings: Tensor) -> Tensor:
    """s_l: the mean cosine between visual tokens after a layer and at the language model's input.

    `hidden` and `embeddings` are [n, d] of any float dtype, row for row the same tokens; the result is a
    float32 scalar on their device (no synchronisation). Without tokens it is 1: nothing has degraded, so that
    no threshold discards.
    """
    assert hidden.shape == embeddings.shape, (hidden.shape, embeddings.shape)
    if hidden.shape[0] == 0:
        return hidden.new_ones((), dtype=torch.float32)
    return F.cosine_similarity(hidden.float(), embeddings.float(), dim=-1).mean()


def similarity_at(hidden: Tensor, embeddings: Tensor, at: Tensor) -> Tensor:
    """s_l over the rows `at`, int64 [n], of `hidden` and `embeddings`, [P, d] each: float32 scalar, as `similarity`."""
    if not len(at) or not has_kernels(hidden):
        return similarity(hidden[at], embeddings[at])
    from sharpv_cli.pruning import scoring_kernels as kernels  # imports triton

    found = torch.empty(len(at), dtype=torch.float32, device=hidden.device)
    kernels.cosines[(len(at),)](hidden, embeddings, at, found, hidden.shape[1], BLOCK=1024)
    return found.mean()
