"""Many answers decoded together on CUDA: one graph a step, for each size of batch, over blocks of one pool.

An answer takes a row of the tables, and blocks for all of its tokens in every layer, which may be of different lengths.
Pool and graphs are made for the first answer; when nobody is seated they are made anew for one that does not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpv_cli.engine import kernels, paged_kernels
from sharpv_cli.engine.cache import SharpVCache
from sharpv_cli.engine.decoder import Operations, normed, through_layer
from sharpv_cli.engine.engine import Prefill
from sharpv_cli.engine.pool import Blocks
from sharpv_cli.engine.steps import answer_angles
from sharpv_cli.engine.weights import DecoderWeights

BLOCK = 64  # entries
_LEAST_STEPS = 256  # answers up to so many tokens do without new buffers
_PROGRAMS = 128  # rows times shares of a layer's entries: about so many for each key-value head


class PagedRows:
    """`Rows` for at most `most` answers in `bound` bytes of keys and values."""

    def __init__(
        self, model: Any, decoder: DecoderWeights, operations: Operations, most: int, bound: int
    ) -> None:
        self._decoder, self._operations = decoder, operations
        self._embedding = model.get_input_embeddings().weight
        self._head = model.get_output_embeddings().weight
        self._most = most
        block_bytes = 2 * decoder.kv_heads * BLOCK * decoder.head_dim * self._embedding.itemsize
        self._most_blocks = bound // block_bytes - 1  # the first one is nobody's
        self._width = self._room = 0
        self._drop()

    @property
    def nbytes(self) -> int:
        """Bytes of the pool."""
        return self._keys.nbytes + self._values.nbytes if self._blocks.count else 0

    @torch.no_grad()
    def seat(self, start: Prefill, count: int) -> int | None:
        cache = start.cache
        needs = [-(-(length + count) // BLOCK) for length in cache.lengths]
        if not self._blocks.taken and not self._takes(needs, count):
            self._make(needs, count)
        if not self._seats or not self._takes(needs, count):
            return None
        blocks = self._blocks.take(self._seats[-1], needs)
        if blocks is None:
            return None
        seat = self._seats.pop()
        with ExitStack() as on_failure:
            on_failure.callback(self.leave, seat)
            self._fill(seat, start, count, blocks)
            on_failure.pop_all()
        return seat

    def leave(self, seat: int) -> None:
        self._blocks.give_back(seat)
        self._seats.append(seat)

    def put(self, seat: int, token: Tensor) -> None:
        self._tokens[seat : seat + 1].copy_(token.view(1))

    def step(self, seats: Sequence[int]) -> tuple[Tensor, Tensor]:
        size = 1 << (len(seats) - 1).bit_length()
        if size not in self._graphs:
            self._graphs[size] = self._captured(size)
        self._send([*seats, *[self._nobody] * (size - len(seats))], self._order[:size])
        self._graphs[size].replay()
        return self._logits[: len(seats)], self._largest[: len(seats)]

    def count(self, seats: Sequence[int]) -> None:
        order = self._order[: len(seats)]
        self._tokens.index_copy_(0, order, self._largest[: len(seats)])
        self._steps.index_add_(0, order, self._ones[: len(seats)])

    def _takes(self, needs: Sequence[int], count: int) -> bool:
        """Whether such an answer could have a seat, if it were the only one."""
        fits = sum(needs) <= self._blocks.count and max(needs) < self._width
        return fits and count <= self._room

    def _make(self, needs: Sequence[int], count: int) -> None:
        """Room for `most` answers like this one and half as many again, as far as bound and memory allow."""
        least, width, room = sum(needs), max(2 * max(needs), self._width), max(count, self._room)
        if least > self._most_blocks:
            return
        blocks = min(max(least * self._most * 3 // 2, self._blocks.count), self._most_blocks)
        self._drop()
        while True:
            try:
                # Those that come may be smaller, but not everything has to be there for many that are.
                self._allocate(blocks, min(self._most, 2 * blocks // least), width, room)
                self._graphs[1] = self._captured(1)  # so a step can be made, if only for one at a time
            except torch.OutOfMemoryError:
                self._drop()
                if blocks == least:
                    raise
                blocks = max(least, blocks // 2)
            else:
                return

    def _drop(self) -> None:
        """The memory of what was there goes first."""
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._blocks, self._seats = Blocks(0), list[int]()
        nothing = self._embedding[:0]
        self._keys = self._values = self._cos = self._sin = self._tables = self._logits = nothing

    def _allocate(self, blocks: int, seats: int, width: int, room: int) -> None:
        decoder, like = self._decoder, self._embedding
        shape = (blocks + 1, decoder.kv_heads, BLOCK, decoder.head_dim)
        self._keys, self._values = (like.new_zeros(shape) for _ in range(2))
        self._width = -(-(width + 1) // 4) * 4  # tables begin at 16 bytes
        self._room = max(room, _LEAST_STEPS)

        def numbers(*shape: int, dtype: torch.dtype) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=like.device)

        # The last seat is nobody's: rows of a graph that nobody needs sit there, before one entry of the first block.
        self._seats, self._nobody, self._blocks = list(range(seats)), seats, Blocks(blocks)
        size, seats = 1 << (seats - 1).bit_length(), seats + 1
        self._tables = numbers(seats, len(decoder.layers), self._width, dtype=torch.int32)
        self._steps = numbers(seats, dtype=torch.int32)
        self._tokens = numbers(seats, dtype=torch.int64)
        self._cos, self._sin = (like.new_zeros(seats, self._room, decoder.head_dim) for _ in range(2))
        self._order = numbers(size, dtype=torch.int64)
        self._ones = torch.ones_like(self._steps[:1]).expand(size)
        self._largest = numbers(size, dtype=torch.int64)
        self._logits = numbers(size, len(self._head), dtype=torch.float32)

    def _fill(self, seat: int, start: Prefill, count: int, blocks: Sequence[Sequence[int]]) -> None:
        """Whatever the seat needs; the cache lets go of what it holds once all is there: it may be seated again."""
        cache = start.cache
        rows = [
            [n, *own, *[0] * (self._width - 1 - len(own))]
            for n, own in zip(cache.lengths, blocks, strict=True)
        ]
        self._send(rows, self._tables[seat])
        self._steps[seat : seat + 1].zero_()
        cos, sin = answer_angles(self._decoder, self._embedding, start.prompt.position_ids[..., -1:], count)
        self._cos[seat, :count], self._sin[seat, :count] = cos, sin
        self._move_in(cache, seat)
        for layer in cache.layers:
            layer.keys, layer.values = layer.keys[:, :, :0].clone(), layer.values[:, :, :0].clone()

    def _move_in(self, cache: SharpVCache, seat: int) -> None:
        """Copy what the layers hold to their blocks."""
        for layer, table in zip(cache.layers, self._tables[seat], strict=True):
            keys, values = layer.keys[0].contiguous(), layer.values[0].contiguous()
            blocks = -(-layer.physical // BLOCK)
            paged_kernels.move_in[(blocks, len(keys))](
                keys, values, self._keys, self._values, table, layer.physical,
                DIM=keys.shape[-1], BLOCK=BLOCK,
            )  # fmt: skip

    def _send(self, values: Sequence[Any], to: Tensor) -> None:
        """Numbers of the host to the device, which does not stop for them."""
        given = torch.tensor(values, dtype=to.dtype)
        to.copy_(given.pin_memory() if to.is_cuda else given, non_blocking=True)

    def _captured(self, size: int) -> torch.cuda.CUDAGraph:
        """The step of `size` rows. It runs once before, for nobody: kernels are compiled, which cannot be captured."""
        self._send([self._nobody] * size, self._order[:size])
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._launch(size)
        torch.cuda.current_stream().wait_stream(stream)
        pool = next((other.pool() for other in self._graphs.values()), None)
        # Other threads may copy and allocate meanwhile.
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            self._launch(size)
        return graph

    @torch.no_grad()
    def _launch(self, size: int) -> None:
        """Read the token of each of the first `size` seats in `_order`; made again, it writes the same once more."""
        decoder, order = self._decoder, self._order[:size]
        hidden = self._embedding.index_select(0, self._tokens.index_select(0, order))
        for index, layer in enumerate(decoder.layers):
            through_layer(hidden, layer, decoder, self._operations, partial(self._attend, index, order))
        logits = self._logits_of(normed(hidden, decoder.norm, decoder.epsilon))
        self._logits[:size], self._largest[:size] = logits, logits.argmax(dim=-1)

    def _logits_of(self, states: Tensor) -> Tensor:
        """In float32 from the product's own sums: half precision would make equals of many."""
        if states.dtype == torch.float32 or not states.is_cuda:
            return F.linear(states, self._head).float()
        return torch.mm(states, self._head.t(), out_dtype=torch.float32)

    def _attend(self, index: int, order: Tensor, qkv: Tensor) -> Tensor:
        decoder, layer, rows = self._decoder, self._decoder.layers[index], len(qkv)
        heads, kv_heads, dim = decoder.heads, decoder.kv_heads, decoder.head_dim
        where = (order, self._steps, self._tables, index, len(decoder.layers), self._width)
        shares = min(16, max(4, _PROGRAMS // rows))
        queries, attended = qkv.new_empty(rows, heads, dim), qkv.new_empty(rows, heads * dim)
        parts = qkv.new_empty(rows, shares, heads, dim, dtype=torch.float32)
        sizes = qkv.new_empty(rows, 2, shares, heads, dtype=torch.float32)
        paged_kernels.place_rows[(rows, heads + 2 * kv_heads)](
            qkv, layer.query_norm, layer.key_norm, self._cos, self._sin, *where, self._room,
            queries, self._keys, self._values, heads, kv_heads, decoder.epsilon,
            NORM=layer.query_norm is not None, HALF=dim // 2, BLOCK=BLOCK, num_warps=1,
        )  # fmt: skip
        paged_kernels.attend_rows[(kv_heads, shares, rows)](
            queries, self._keys, self._values, *where, parts, sizes, decoder.scale,
            GROUPS=decoder.groups, PADDED=max(16, 1 << (decoder.groups - 1).bit_length()), DIM=dim, BLOCK=BLOCK,
        )  # fmt: skip
        kernels.combine[(heads, rows)](parts, sizes, attended, SHARES=shares, DIM=dim)
        return attended
