"""The decoder: the same arithmetic as the stock layers, in fewer and larger steps. Here a prompt goes through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpv_cli.engine.cache import SharpVCache, SharpVLayer
from sharpv_cli.engine.memory import Observer
from sharpv_cli.engine.weights import DecoderWeights, LayerWeights
from sharpv_cli.models.capture import DEEPSTACK, MASK, Prompt

# Longer prompts are read in pieces, so that the work of a layer stays bounded; the KV cache is all that grows.
CHUNK_TOKENS = 4096
_BLOCK_TOKENS = 512


class Operations(Protocol):
    """What a device does in fused kernels where it has them."""

    def split_heads(
        self, qkv: Tensor, layer: LayerWeights, decoder: DecoderWeights, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [H, P, d], keys and values [K, P, d] of `qkv` [P, (H + 2K) d]; the first two normed and turned.

        `cos` and `sin` [P, d] are those of the tokens' positions.
        """

    def gated(self, gate_up: Tensor) -> Tensor:
        """silu(gate) * up, [P, 2I] -> [P, I]."""


class TorchOperations:
    """Operations in plain PyTorch, for any device."""

    def split_heads(
        self, qkv: Tensor, layer: LayerWeights, decoder: DecoderWeights, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        heads, kv_heads = decoder.heads, decoder.kv_heads
        parts = qkv.view(len(qkv), -1, decoder.head_dim)
        queries, keys, values = torch.split(parts, [heads, kv_heads, kv_heads], dim=1)
        if layer.query_norm is not None and layer.key_norm is not None:
            queries = normed(queries, layer.query_norm, decoder.epsilon)
            keys = normed(keys, layer.key_norm, decoder.epsilon)
            turned = rotated(torch.cat([queries, keys], dim=1), cos, sin)
        else:
            turned = rotated(parts[:, : heads + kv_heads], cos, sin)
        queries, keys = torch.split(turned, [heads, kv_heads], dim=1)
        return queries.transpose(0, 1), keys.transpose(0, 1), values.transpose(0, 1)

    def gated(self, gate_up: Tensor) -> Tensor:
        gate, up = gate_up.chunk(2, dim=-1)
        return F.silu(gate).mul_(up)


def normed(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """RMS norm over the last dimension."""
    return F.rms_norm(x, weight.shape, weight, epsilon)


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of [P, heads, d] by angles [P, d], halves against each other."""
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return (x * cos[:, None]).addcmul_(turned, sin[:, None])


def angles(decoder: DecoderWeights, like: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin [P, d] at positions [1, P], or [3, 1, P] with M-RoPE, in the dtype of `like`."""
    cos, sin = decoder.rotary(like, position_ids)
    if cos.ndim == 4:  # transformers before 5.20 leaves time, row and column to the attention
        sections = decoder.rotary.config.rope_parameters["mrope_section"] * 2
        cos, sin = (
            torch.cat([part[i % 3] for i, part in enumerate(torch.split(each, sections, dim=-1))], dim=-1)
            for each in (cos, sin)
        )
    return cos[0], sin[0]


def through_layer(
    hidden: Tensor,
    layer: LayerWeights,
    decoder: DecoderWeights,
    operations: Operations,
    attend: Callable[[Tensor], Tensor],
) -> None:
    """`hidden` [P, D] becomes what one decoder layer makes of it: of a prompt, or of a token of each of P answers.

    `attend` makes of queries, keys and values, [P, (H + 2K) d], what comes of attention to all that is there, [P, H d].
    """
    x = normed(hidden, layer.attention_norm, decoder.epsilon)
    hidden.addmm_(attend(F.linear(x, layer.qkv, layer.qkv_bias)), layer.output.t())
    x = normed(hidden, layer.mlp_norm, decoder.epsilon)
    hidden.addmm_(operations.gated(F.linear(x, layer.gate_up)), layer.down.t())


@torch.no_grad()
def read(
    decoder: DecoderWeights,
    operations: Operations,
    prompt: Prompt,
    cache: SharpVCache,
    memory: Observer | None,
) -> Tensor:
    """Pass `prompt`, behind what `cache` holds, through the decoder; the last token's normed state [1, D]."""
    last: Tensor | None = None
    for part, at_end in _parts(prompt):
        last = _read_part(decoder, operations, part, cache, memory, at_end)[-1:]
    assert last is not None, "a prompt has tokens"
    return normed(last, decoder.norm, decoder.epsilon)


@torch.no_grad()
def read_all(decoder: DecoderWeights, operations: Operations, prompt: Prompt, cache: SharpVCache) -> Tensor:
    """As `read`, of a few tokens of text; the normed states of all of them [P, D]."""
    hidden = _read_part(decoder, operations, prompt, cache, None, at_end=True)
    return normed(hidden, decoder.norm, decoder.epsilon)


def _parts(prompt: Prompt) -> Iterator[tuple[Prompt, bool]]:
    """The prompt in pieces, each with whether it is the last one."""
    if len(prompt) <= CHUNK_TOKENS:
        yield prompt, True
        return
    rest = prompt
    while len(rest) > CHUNK_TOKENS:
        yield rest.head(CHUNK_TOKENS), False
        rest = rest.tail(CHUNK_TOKENS)
    yield rest, True


def _read_part(
    decoder: DecoderWeights,
    operations: Operations,
    prompt: Prompt,
    cache: SharpVCache,
    memory: Observer | None,
    at_end: bool,
) -> Tensor:
    """The hidden states, [P, D]."""
    hidden = prompt.embeds[0].clone()
    cos, sin = angles(decoder, prompt.embeds, prompt.position_ids)
    measured = frozenset(memory.measured_layers if memory is not None else ())
    stacked = prompt.extra.get(DEEPSTACK, ())
    for index, layer in enumerate(decoder.layers):
        split = partial(operations.split_heads, layer=layer, decoder=decoder, cos=cos, sin=sin)
        attend = partial(_attend, cache.layers[index], decoder.scale, split)
        through_layer(hidden, layer, decoder, operations, attend)
        if memory is not None and index in measured:
            memory(index, hidden[None], prompt, last=at_end)
        if index < len(stacked):
            hidden[prompt.extra[MASK][0]] += stacked[index].to(hidden.dtype)
    return hidden


Split = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""`Operations.split_heads` of one layer, at the positions of the tokens."""


def _attend(layer: SharpVLayer, scale: float, split: Split, qkv: Tensor) -> Tensor:
    """Causal attention of the last P tokens, which the cache's `layer` takes in: [P, H d]."""
    queries, keys, values = split(qkv)
    all_keys, all_values = layer.update(keys[None], values[None])
    length, seen = queries.shape[1], all_keys.shape[2]
    # On a CPU a mask is held in full, and what it hides is computed.
    size = _BLOCK_TOKENS if length < seen and not queries.is_cuda else length
    blocks = []
    for start in range(0, length, size):
        rows = queries[None, :, start : start + size]
        until = seen - length + start + rows.shape[2]
        blocks.append(_attended(rows, all_keys[:, :, :until], all_values[:, :, :until], scale))
    return torch.cat(blocks) if len(blocks) > 1 else blocks[0]


def _attended(queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
    """Causal attention of queries [1, H, P, d], the last P of all tokens: [P, H d]."""
    length, seen = queries.shape[2], keys.shape[2]
    # Without a mask PyTorch takes its fused kernels; its own causal flag is aligned to the first token, not the last.
    mask = _causal(length, seen, queries.device) if 1 < length < seen else None
    attended = F.scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=mask,
        is_causal=length == seen,
        scale=scale,
        enable_gqa=queries.shape[1] != keys.shape[1],
    )
    return attended[0].transpose(0, 1).reshape(length, -1)


def _causal(length: int, seen: int, device: torch.device) -> Tensor:
    """What each of the last `length` of `seen` tokens may look at: itself and all before it, [length, seen]."""
    if device.type == "cuda":
        # Fused kernels read it without holding it; its import brings torch._dynamo, which takes most of a second.
        from torch.nn.attention.bias import causal_lower_right

        return causal_lower_right(length, seen)
    return torch.ones(length, seen, dtype=torch.bool, device=device).tril(seen - length)
