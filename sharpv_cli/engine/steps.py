"""One answer token after another through the decoder, over buffers that have room for the whole answer.

Each layer's buffer is as long as what that layer kept, and the answer: layers whose visual entries were discarded
have short ones.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpv_cli.engine.cache import SharpVCache
from sharpv_cli.engine.decoder import Operations, angles, normed, through_layer
from sharpv_cli.engine.weights import DecoderWeights


class Steps(Protocol):
    """Decoding that was begun: each call reads one token and gives the logits of the next."""

    def __call__(self, token: Tensor) -> Tensor:
        """int64 [1, 1] -> float32 [1, vocabulary], which the next call may overwrite."""


def answer_angles(decoder: DecoderWeights, like: Tensor, last: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """cos and sin [count, d] at the positions after `last`, [1, 1] or [3, 1, 1]: text, so all three are equal."""
    return angles(decoder, like, last + torch.arange(1, count + 1, device=last.device))


class EagerSteps:
    """Steps of PyTorch operations one by one, on views of exactly the entries that there are: for the CPU."""

    def __init__(
        self, model: Any, decoder: DecoderWeights, operations: Operations, cache: SharpVCache, last: Tensor, count: int
    ) -> None:  # fmt: skip
        self._embed, self._head = model.get_input_embeddings(), model.get_output_embeddings()
        self._decoder, self._operations = decoder, operations
        self._lengths = cache.lengths
        self._buffers = [_buffers(layer, count) for layer in cache.layers]
        self._cos, self._sin = answer_angles(decoder, self._embed.weight, last, count)
        self._step = 0

    @torch.no_grad()
    def __call__(self, token: Tensor) -> Tensor:
        decoder, step = self._decoder, self._step
        self._step += 1
        cos, sin = self._cos[step : step + 1], self._sin[step : step + 1]
        hidden = self._embed(token)[0]
        for layer, buffers, length in zip(decoder.layers, self._buffers, self._lengths, strict=True):
            attend = partial(self._attend, buffers, length + step)
            through_layer(hidden, layer, decoder, self._operations, cos, sin, attend)
        hidden = normed(hidden, decoder.norm, decoder.epsilon)
        logits: Tensor = self._head(hidden[None])
        return logits[:, -1].float()

    def _attend(
        self, buffers: tuple[Tensor, Tensor], length: int, queries: Tensor, keys: Tensor, values: Tensor
    ) -> Tensor:
        """[H, 1, d] over `length` entries and the new one: [1, H d]. Query heads of a group stand as rows of one."""
        for buffer, new in zip(buffers, (keys, values), strict=True):
            buffer[:, length : length + 1] = new
        every_key, every_value = (buffer[None, :, : length + 1] for buffer in buffers)
        grouped = queries.reshape(1, self._decoder.kv_heads, self._decoder.groups, -1)
        attended = F.scaled_dot_product_attention(grouped, every_key, every_value, scale=self._decoder.scale)
        return attended.reshape(1, -1)


def _buffers(layer: Any, room: int) -> tuple[Tensor, Tensor]:
    """Keys and values [K, n + room, d] of a cache's layer, which goes on as a view of them."""
    both = []
    for name in ("keys", "values"):
        stored = getattr(layer, name)[0]
        buffer = stored.new_empty(stored.shape[0], stored.shape[1] + room, stored.shape[2])
        buffer[:, : stored.shape[1]] = stored
        setattr(layer, name, buffer[None, :, : stored.shape[1]])
        both.append(buffer)
    return both[0], both[1]
