"""One answer token after another through the decoder, over buffers that have room for the whole answer.

Each layer's buffer is as long as what that layer kept, and the answer: layers whose visual entries were discarded
have short ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpv_cli.engine.cache import SharpVCache
from sharpv_cli.engine.decoder import Operations, Split, angles, normed, through_layer
from sharpv_cli.engine.weights import DecoderWeights


class Steps(Protocol):
    """Decoding that was begun: each call reads one token and gives the logits of the next."""

    def __call__(self, token: Tensor) -> Tensor:
        """int64 [1, 1] -> float32 [1, vocabulary], which the next call may overwrite."""


def answer_angles(decoder: DecoderWeights, like: Tensor, last: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """cos and sin [count, d] at the positions after `last`, [1, 1] or [3, 1, 1]: text, so all three are equal."""
    return angles(decoder, like, last + torch.arange(1, count + 1, device=last.device))


class EagerSequence:
    """An answer on its way: of each layer, what it kept and room for `count` further tokens. `token` is read next."""

    def __init__(
        self, decoder: DecoderWeights, like: Tensor, cache: SharpVCache, last: Tensor, count: int
    ) -> None:
        self._lengths = cache.lengths
        self._buffers = [_buffers(layer, count) for layer in cache.layers]
        self._cos, self._sin = answer_angles(decoder, like, last, count)
        self._scale = decoder.scale
        self._step = 0
        self.token = last.new_zeros(1)

    @property
    def angles(self) -> tuple[Tensor, Tensor]:
        """cos and sin [1, d] of the token that is read next."""
        return self._cos[self._step : self._step + 1], self._sin[self._step : self._step + 1]

    def read(self, then: Tensor) -> None:
        """`token` counts as read, and `then`, int64 [1], is next; until then a step reads the same token again."""
        self._step += 1
        self.token = then

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """[H, d] over what `layer` holds, with new keys and values [K, d]: [H d]."""
        length = self._lengths[layer] + self._step
        for buffer, new in zip(self._buffers[layer], (keys, values), strict=True):
            buffer[:, length] = new
        every_key, every_value = (buffer[None, :, : length + 1] for buffer in self._buffers[layer])
        # Query heads of a group stand as rows of one.
        grouped = queries.reshape(1, len(keys), -1, queries.shape[-1])
        return F.scaled_dot_product_attention(grouped, every_key, every_value, scale=self._scale).view(-1)


class EagerSteps:
    """Steps of PyTorch operations one by one, on views of exactly the entries that there are: for the CPU."""

    def __init__(
        self, model: Any, decoder: DecoderWeights, operations: Operations, cache: SharpVCache, last: Tensor, count: int
    ) -> None:  # fmt: skip
        self._of = (model, decoder, operations)
        self._sequence = EagerSequence(decoder, model.get_input_embeddings().weight, cache, last, count)

    def __call__(self, token: Tensor) -> Tensor:
        self._sequence.token = token.view(1)
        logits = eager_step(*self._of, [self._sequence])
        self._sequence.read(self._sequence.token)
        return logits


@torch.no_grad()
def eager_step(
    model: Any, decoder: DecoderWeights, operations: Operations, sequences: Sequence[EagerSequence]
) -> Tensor:
    """Read the token of each of n sequences in one pass, none of which counts yet: float32 logits [n, vocabulary]."""
    hidden = model.get_input_embeddings()(_joined([one.token for one in sequences]))
    cos, sin = (_joined(parts) for parts in zip(*(one.angles for one in sequences), strict=True))
    for index, layer in enumerate(decoder.layers):
        split = partial(operations.split_heads, layer=layer, decoder=decoder, cos=cos, sin=sin)
        through_layer(hidden, layer, decoder, operations, partial(_attend, sequences, index, split))
    logits: Tensor = model.get_output_embeddings()(normed(hidden, decoder.norm, decoder.epsilon)[None])
    return logits[0].float()


def _attend(sequences: Sequence[EagerSequence], layer: int, split: Split, qkv: Tensor) -> Tensor:
    """Each of the n tokens over what its own sequence has in `layer`: [n, H d]."""
    heads = zip(sequences, *(part.unbind(1) for part in split(qkv)), strict=True)
    return torch.stack([one.attend(layer, *own) for one, *own in heads])


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


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
