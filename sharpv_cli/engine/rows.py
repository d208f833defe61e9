"""Answers that are decoded together: their buffers, within a bound, and the step that reads a token of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor

from sharpv_cli.engine.cache import SharpVCache
from sharpv_cli.engine.decoder import Operations
from sharpv_cli.engine.engine import Prefill
from sharpv_cli.engine.steps import EagerSequence, Steps, eager_step
from sharpv_cli.engine.weights import DecoderWeights


class Rows(Protocol):
    """Each answer has a seat, and its buffers are all there from the beginning: it never runs out of room."""

    def seat(self, start: Prefill, count: int) -> int | None:
        """A seat for an answer that reads `count` more tokens, whose cache is used up; None where there is no room."""

    def leave(self, seat: int) -> None:
        """Its room is for others."""

    def put(self, seat: int, token: Tensor) -> None:
        """The token, int64 [1, 1], that is read next."""

    def step(self, seats: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Read a token of each: float32 logits [n, vocabulary], for the time until the next step, and int64 [n].

        Those are the largest of each, which is read next where no other token is put. Nothing counts until `count`:
        a step that failed, or for whose results there is no memory, is made again and reads the same tokens.
        """

    def count(self, seats: Sequence[int]) -> None:
        """The step that was made last, of these seats, counts. Takes no memory."""


def bytes_of(cache: SharpVCache, count: int) -> int:
    """What an answer of `count` tokens behind `cache` takes."""
    return sum(layer.nbytes + count * (layer.nbytes // layer.physical) for layer in cache.layers)


class EagerRows:
    """On the CPU: each answer in buffers of its own, `bound` bytes in all."""

    def __init__(self, model: Any, decoder: DecoderWeights, operations: Operations, bound: int) -> None:
        self._of = (model, decoder, operations)
        self._bound = bound
        self._seated: dict[int, tuple[EagerSequence, int]] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(nbytes for _, nbytes in self._seated.values())

    def seat(self, start: Prefill, count: int) -> int | None:
        nbytes = bytes_of(start.cache, count)
        if self.nbytes + nbytes > self._bound:
            return None
        model, decoder, _ = self._of
        like, last = model.get_input_embeddings().weight, start.prompt.position_ids[..., -1:]
        number = next(n for n in range(len(self._seated) + 1) if n not in self._seated)
        self._seated[number] = EagerSequence(decoder, like, start.cache, last, count), nbytes
        return number

    def leave(self, seat: int) -> None:
        del self._seated[seat]

    def put(self, seat: int, token: Tensor) -> None:
        self._seated[seat][0].token = token.view(1)

    def step(self, seats: Sequence[int]) -> tuple[Tensor, Tensor]:
        sequences = [self._seated[seat][0] for seat in seats]
        logits = eager_step(*self._of, sequences)
        self._largest = logits.argmax(dim=-1)
        return logits, self._largest

    def count(self, seats: Sequence[int]) -> None:
        for seat, token in zip(seats, self._largest[:, None], strict=True):
            self._seated[seat][0].read(token)


class Alone:
    """One answer by steps of its own, which are those of an engine that knows no other; none is made again."""

    def __init__(self, steps: Callable[[Prefill, int], AbstractContextManager[Steps]]) -> None:
        self._begin = steps
        self._token: Tensor | None = None

    def seat(self, start: Prefill, count: int) -> int | None:
        self._context = self._begin(start, count)
        self._step = self._context.__enter__()
        return 0

    def leave(self, seat: int) -> None:
        del seat
        self._context.__exit__(None, None, None)

    def put(self, seat: int, token: Tensor) -> None:
        del seat
        self._token = token

    @torch.no_grad()
    def step(self, seats: Sequence[int]) -> tuple[Tensor, Tensor]:
        del seats
        assert self._token is not None, "a token was put"
        logits = self._step(self._token)
        self._token = logits.argmax(dim=-1, keepdim=True)
        return logits, self._token[0]

    def count(self, seats: Sequence[int]) -> None:
        del seats
