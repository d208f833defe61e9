"""flash-attn's two functions on the CPU, put where transformers' glue imports them from.

They mean what flash-attn's mean: `causal` is aligned to the lower right, and the sequences of a packed batch do not
see each other. Slow, and in float32 as well, which flash-attn does not take.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import modeling_flash_attention_utils as glue

from sharpv_cli.models.loading import LoadedModel


@contextmanager
def flash(model: LoadedModel) -> Iterator[list[str]]:
    """The language model on `flash_attention_2`; gives "dense" or "packed" for each call, as they come."""
    calls: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name, module in _modules(calls).items():
            patch.setitem(sys.modules, name, module)
        patch.setattr(glue, "is_flash_attn_2_available", lambda: True)
        patch.setattr(glue, "_loaded_implementation", None)
        patch.setattr(model.model.get_decoder().config, "_attn_implementation", "flash_attention_2")
        yield calls


def _modules(calls: list[str]) -> dict[str, ModuleType]:
    def dense(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
        calls.append("dense")
        return _attend(q, k, v, **options)

    def packed(
        q: Tensor, k: Tensor, v: Tensor, cu_seqlens_q: Tensor, cu_seqlens_k: Tensor, **options: Any
    ) -> Tensor:
        calls.append("packed")
        borders = zip(pairwise(cu_seqlens_q.tolist()), pairwise(cu_seqlens_k.tolist()), strict=True)
        parts = [
            _attend(q[None, a:b], k[None, c:d], v[None, c:d], **options)[0] for (a, b), (c, d) in borders
        ]
        return torch.cat(parts)

    flash_attn, padding = ModuleType("flash_attn"), ModuleType("flash_attn.bert_padding")
    vars(flash_attn).update(
        flash_attn_func=dense, flash_attn_varlen_func=packed, flash_attn_with_kvcache=_not_ours
    )
    vars(padding).update(pad_input=_not_ours, unpad_input=_not_ours)
    return {"flash_attn": flash_attn, "flash_attn.bert_padding": padding}


def _attend(
    q: Tensor, k: Tensor, v: Tensor, *, softmax_scale: float | None = None, causal: bool = False, **_: Any
) -> Tensor:
    """q [1, n, heads, d] over k and v [1, m, kv_heads, d]."""
    shared = q.shape[2] // k.shape[2]
    q, k, v = (
        part.transpose(1, 2) for part in (q, k.repeat_interleave(shared, 2), v.repeat_interleave(shared, 2))
    )
    n, m = q.shape[2], k.shape[2]
    assert causal
    seen = torch.ones(n, m, dtype=torch.bool).tril(m - n)
    scale = q.shape[-1] ** -0.5 if softmax_scale is None else softmax_scale
    odds = (q @ k.mT * scale).masked_fill(~seen, -torch.inf).softmax(dim=-1).nan_to_num()
    return (odds @ v).transpose(1, 2)


def _not_ours(*_: Any, **__: Any) -> None:
    raise AssertionError("a batch of one prompt is neither padded nor paged")
