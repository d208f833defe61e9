"""A KV cache whose layers may store fewer entries than they have seen.

transformers sizes masks and positions by the cache's length, so each layer keeps two: logical, the tokens
seen, and physical, the entries stored.
"""

from __future__ import annotations

import inspect
from typing import Any, Self

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


class SharpVLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not followed by mypy
    """One layer's keys and values, [1, kv_heads, physical, head_dim], with eviction."""

    keys: Tensor
    values: Tensor
    is_initialized: bool

    def __init__(self) -> None:
        super().__init__()
        self.evicted = 0

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append entries [1, kv_heads, q, head_dim], and give all; the first ones are taken as they are."""
        if self.is_initialized:
            both: tuple[Tensor, Tensor] = super().update(key_states, value_states, *args, **kwargs)
            return both
        self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
        # Views would hold on to what they were computed beside.
        self.keys, self.values = key_states.contiguous(), value_states.contiguous()
        return self.keys, self.values

    @property
    def physical(self) -> int:
        """Entries stored."""
        return self.keys.shape[-2] if self.is_initialized and self.keys.numel() else 0

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values."""
        return self.keys.nbytes + self.values.nbytes if self.is_initialized else 0

    def get_seq_length(self, *_: Any) -> int:
        """Logical length: tokens seen."""
        return self.physical + self.evicted

    def get_mask_sizes(self, query_length: Any) -> tuple[int, int]:
        """kv_length and kv_offset: the stored entries are the last ones of the logical sequence."""
        return self.physical + int(query_length), self.evicted

    def retain(self, index: Tensor) -> None:
        """Forget all entries but those at `index`, int64 [n], rising; they move to new storage."""
        index = index.to(self.keys.device)
        self.evicted += self.physical - len(index)
        self.keys = self.keys.index_select(-2, index)
        self.values = self.values.index_select(-2, index)

    def fork(self) -> Self:
        """A layer that goes its own way: tensors are shared, and every change makes new ones."""
        other = type(self)()
        other.__dict__.update(self.__dict__)
        return other


class SharpVCache(DynamicCache):  # type: ignore[misc]
    """A cache of SharpVLayers, batch of one."""

    def __init__(self, layers: int) -> None:
        Cache.__init__(self, layers=[SharpVLayer() for _ in range(layers)])

    @property
    def lengths(self) -> list[int]:
        """Entries stored by each layer."""
        return [layer.physical for layer in self.layers]

    @property
    def layer_bytes(self) -> list[int]:
        """Bytes of keys and values stored by each layer."""
        return [layer.nbytes for layer in self.layers]

    @property
    def nbytes(self) -> int:
        return sum(self.layer_bytes)

    def fork(self) -> SharpVCache:
        """A copy that shares tensors until one of the two changes, which leaves the other as it is."""
        other = SharpVCache(0)
        other.layers = [layer.fork() for layer in self.layers]
        return other


def others(index: Tensor, length: int) -> Tensor:
    """The numbers below `length` that are not in `index`, int64 [n], distinct: int64, rising."""
    stays = torch.ones(length, dtype=torch.bool, device=index.device)
    stays[index] = False
    # The size is known, so that no count has to come back from the device.
    return torch.nonzero_static(stays, size=length - len(index)).flatten()


def cache_argument(decoder: Any) -> str:
    """The name under which a language model, and each of its layers, takes the cache: transformers 5.24 renamed it."""
    return "cache" if "cache" in inspect.signature(decoder.forward).parameters else "past_key_values"
