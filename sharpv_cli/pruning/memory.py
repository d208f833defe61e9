"""Memory SharpV's measure: how much of the visual input a decoder layer still holds (arXiv 2511.08003)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
