"""From scores to choices. Equal scores go to the lower index: equal features, equal choices."""

from __future__ import annotations

import torch
from torch import Tensor


def places(scores: Tensor) -> Tensor:
    """Each score's place by falling score in the last dimension, from 0: [..., n] -> int64 [..., n]."""
    order = scores.sort(dim=-1, descending=True, stable=True).indices
    ramp = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, ramp)


def best(scores: Tensor, counts: int | Tensor) -> Tensor:
    """True at the `counts` highest of the last dimension: [..., n], a number or int64 [...] -> bool [..., n]."""
    if isinstance(counts, Tensor):
        counts = counts.to(scores.device)[..., None]
    return places(scores) < counts


def best_of_clip(scores: Tensor, count: int) -> Tensor:
    """True at the `count` highest of a whole clip, [T, f] -> bool [T, f]; equal scores in raster order."""
    assert count <= scores.numel(), (count, scores.shape)
    return best(scores.flatten(), count).view(scores.shape)
