"""Decoding on CUDA: the step as one graph of Triton kernels, launched at once and without the host in between.

Buffers and graph stay for the next answer that fits into them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sharpv_cli.engine import kernels
from sharpv_cli.engine.cache import SharpVCache
from sharpv_cli.engine.steps import answer_angles
from sharpv_cli.engine.weights import DecoderWeights

_SHARES = 16  # of a layer's entries, read side by side
_BLOCK = 64  # entries at a time
_ROWS, _COLUMNS = 2, 512  # of a matrix, a program: the fastest of those tried on an H100
_LEAST_STEPS = 256  # answers up to so many tokens share buffers


class GraphSteps:
    """Steps by replaying a CUDA graph. `begin` readies them for an answer; one answer at a time."""

    def __init__(
        self, model: Any, decoder: DecoderWeights, cache: SharpVCache, count: int, *, flash: bool
    ) -> None:
        self._decoder = decoder
        self._embedding = model.get_input_embeddings().weight
        self._head = model.get_output_embeddings().weight
        self._flash = flash
        self._steps = max(count, _LEAST_STEPS)
        self._capacities = _capacities_for(cache.lengths, self._steps)
        self._allocate(cache)
        self._capture()

    def fits(self, cache: SharpVCache, count: int) -> bool:
        """Whether an answer of `count` tokens behind `cache` has room, and not more than twice what it needs."""
        wanted = _capacities_for(cache.lengths, max(count, _LEAST_STEPS))
        enough = count <= self._steps and all(
            own >= need for own, need in zip(self._capacities, wanted, strict=True)
        )
        return enough and sum(self._capacities) <= 2 * sum(wanted)

    @torch.no_grad()
    def begin(self, cache: SharpVCache, last: Tensor, count: int) -> None:
        """Take over what `cache` holds, whose layers become views of the buffers; `last`: the last position."""
        cos, sin = answer_angles(self._decoder, self._embedding, last, count)
        self._cos[:count], self._sin[:count] = cos, sin
        self._lengths.copy_(torch.tensor(cache.lengths, dtype=torch.int32))
        self._step.zero_()
        for layer, keys, values in zip(cache.layers, self._keys, self._values, strict=True):
            for name, buffer in (("keys", keys), ("values", values)):
                view = buffer[None, :, : layer.physical]
                view.copy_(getattr(layer, name))
                setattr(layer, name, view)

    def __call__(self, token: Tensor) -> Tensor:
        self._token.copy_(token.view(1))
        self._graph.replay()
        return self._logits

    def _allocate(self, cache: SharpVCache) -> None:
        decoder, like = self._decoder, self._embedding
        heads, dim = decoder.heads, decoder.head_dim

        def like_keys() -> list[Tensor]:
            return [like.new_zeros(decoder.kv_heads, capacity, dim) for capacity in self._capacities]

        def floats(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=torch.float32, device=like.device)

        self._keys, self._values = like_keys(), like_keys()
        self._lengths = torch.zeros(len(cache.layers), dtype=torch.int32, device=like.device)
        self._step = torch.zeros(1, dtype=torch.int32, device=like.device)
        self._token = torch.zeros(1, dtype=torch.int64, device=like.device)
        self._cos, self._sin = (like.new_zeros(self._steps, dim) for _ in range(2))
        self._qkv = like.new_empty((heads + 2 * decoder.kv_heads) * dim)
        self._queries, self._attended = like.new_empty(heads, dim), like.new_empty(heads, dim)
        self._between = like.new_empty(decoder.layers[0].down.shape[1])
        self._logits = floats(1, len(self._head))
        self._parts, self._sizes = floats(_SHARES, heads, dim), floats(2, _SHARES, heads)

    @torch.no_grad()
    def _capture(self) -> None:
        self._graph = torch.cuda.CUDAGraph()
        # The first run compiles kernels, which cannot be captured. Both write entries that `begin` replaces.
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._launch()
        torch.cuda.current_stream().wait_stream(stream)
        # Left to itself, torch captures on one stream for the whole process, which is on the GPU that came first.
        with torch.cuda.graph(self._graph, stream=stream):
            self._launch()

    def _launch(self) -> None:
        decoder = self._decoder
        hidden = self._embedding.index_select(0, self._token).view(-1)
        for index, layer in enumerate(decoder.layers):
            self._matvec(hidden, layer.qkv, self._qkv, norm=layer.attention_norm, bias=layer.qkv_bias)
            self._place(index)
            self._attend(index)
            self._matvec(self._attended, layer.output, hidden, add=True)
            self._matvec(hidden, layer.gate_up, self._between, norm=layer.mlp_norm, gated=True)
            self._matvec(self._between, layer.down, hidden, add=True)
        self._matvec(hidden, self._head, self._logits, norm=decoder.norm)
        self._lengths += 1
        self._step += 1

    def _matvec(
        self,
        x: Tensor,
        weights: Tensor,
        out: Tensor,
        *,
        norm: Tensor | None = None,
        bias: Tensor | None = None,
        add: bool = False,
        gated: bool = False,
    ) -> None:
        rows = len(weights) // 2 if gated else len(weights)
        each = _ROWS if rows % _ROWS == 0 else 1
        kernels.matvec[(rows // each,)](
            x, norm, weights, bias, out, weights.shape[1], self._decoder.epsilon,
            NORM=norm is not None, BIAS=bias is not None, ADD=add, GATED=gated, ROWS=each, BLOCK=_COLUMNS,
            num_warps=2 if norm is None else 4,
        )  # fmt: skip

    def _place(self, index: int) -> None:
        decoder, layer = self._decoder, self._decoder.layers[index]
        kernels.place_heads[(1, decoder.heads + 2 * decoder.kv_heads)](
            self._qkv, layer.query_norm, layer.key_norm, self._cos, self._sin, self._step,
            self._lengths[index:], self._queries, self._keys[index], self._values[index],
            decoder.heads, decoder.kv_heads, self._capacities[index], decoder.epsilon,
            NORM=layer.query_norm is not None, HALF=decoder.head_dim // 2, num_warps=1,
        )  # fmt: skip

    def _attend(self, index: int) -> None:
        decoder, length = self._decoder, self._lengths[index : index + 1]
        if self._flash:
            _flash_attend(
                self._queries, self._keys[index], self._values[index], length, self._attended, decoder.scale
            )
            return
        kernels.attend[(decoder.kv_heads, _SHARES)](
            self._queries, self._keys[index], self._values[index], length, self._parts, self._sizes,
            self._capacities[index], decoder.scale,
            GROUPS=decoder.groups, PADDED=max(16, 1 << (decoder.groups - 1).bit_length()),
            DIM=decoder.head_dim, BLOCK=_BLOCK,
        )  # fmt: skip
        kernels.combine[(decoder.heads,)](
            self._parts, self._sizes, self._attended, SHARES=_SHARES, DIM=decoder.head_dim
        )


def _capacities_for(lengths: Sequence[int], room: int, step: int = 64) -> list[int]:
    """Entries that each layer's buffer is made for: rounded up, so that answers of like lengths share them."""
    return [-(-(length + room) // step) * step for length in lengths]


def _flash_attend(
    queries: Tensor, keys: Tensor, values: Tensor, length: Tensor, out: Tensor, scale: float
) -> None:
    """flash-attn's own kernel for a query on a cache, over `length` + 1 entries."""
    from flash_attn import flash_attn_with_kvcache

    attended = flash_attn_with_kvcache(
        queries[None, None],
        keys.transpose(0, 1)[None],
        values.transpose(0, 1)[None],
        cache_seqlens=length + 1,
        softmax_scale=scale,
    )
    out.copy_(attended[0, 0])
