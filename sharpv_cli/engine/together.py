"""Many answers at once: each step reads the weights once for all of them.

Whoever drives them has one generator each, from `decode`, and does this again and again: take from each until it gives
None or ends; begin others while `has_room`; call `step`. So an answer that ends makes room for another at once, and
prompts are read between steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf

import torch
from torch import Tensor

from sharpv_cli.engine.cache import SharpVCache
from sharpv_cli.engine.engine import Engine, Prefill, Prefix
from sharpv_cli.engine.fast import FastEngine
from sharpv_cli.engine.late import Late
from sharpv_cli.engine.memory import Observer
from sharpv_cli.engine.rows import Alone, Rows
from sharpv_cli.engine.sampling import Sampler
from sharpv_cli.engine.vision import FULL, Vision
from sharpv_cli.models.available import available_bytes
from sharpv_cli.models.blame import out_of_memory
from sharpv_cli.models.capture import Prompt

MOST = 64
"""Answers at once, where nobody asks for another number."""
_UNKNOWN_BYTES = 1 << 30  # where the system does not say what is free


@dataclass(eq=False)
class _Answer:
    """`token` is read next, `left` tokens are still to be read. `coming` are on their way to the host."""

    start: Prefill
    choose: Sampler
    token: Tensor
    left: int
    rows: Rows | None = None
    seat: int = 0
    logits: Tensor | None = None  # of a step, as long as nothing was chosen by them
    error: Exception | None = None
    coming: deque[Callable[[], float]] = field(default_factory=deque)

    @property
    def is_going_on(self) -> bool:
        return bool(self.left or self.coming or self.logits is not None)

    @property
    def is_placed(self) -> bool:
        """Whether it needs no seat, or has one."""
        return self.rows is not None or not self.left or self.error is not None

    def go_on(self) -> None:
        """Choose by the logits of the step before; raise what became of it."""
        if self.error is not None:
            raise self.error
        if self.logits is None:
            return
        self.token, self.logits = self.choose(self.logits), None
        self.coming.append(Late(self.token).value)
        if self.left and self.rows is not None:
            self.rows.put(self.seat, self.token)

    def sit(self, rows: Rows) -> bool:
        """Whether there is room for it, which it takes."""
        seat = rows.seat(self.start, self.left)
        if seat is None:
            return False
        self.rows, self.seat = rows, seat
        rows.put(seat, self.token)
        return True

    def leave(self) -> None:
        if self.rows is not None:
            self.rows.leave(self.seat)
            self.rows = None


class Together(Engine):
    """As `engine`, but `decode` gives None where a token needs `step`. At most `most` answers in `bound` bytes of KV.

    Where clips that are asked about hold `host` bytes of the host's memory, or `device` bytes of the device's where it
    has its own (`holding`), no other begins beside them.

    Each answer is that of `engine`. One that does not fit waits until others have ended; one that would not fit at all,
    and one that has no company, goes by the engine's own steps. Engines other than the fast one never give None.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        most: int = MOST,
        bound: int | None = None,
        host: int | None = None,
        device: int | None = None,
    ) -> None:
        super().__init__(engine.model, engine.reason)
        self.name, self.needs_scores = engine.name, engine.needs_scores
        self.most = most
        self._engine: Engine = engine._engine if isinstance(engine, Together) else engine
        free = bound if bound is not None else (available_bytes(engine.model.device) or _UNKNOWN_BYTES) // 2
        self._bound, self._least_bound = free, free // 8
        self.held = (0, 0)
        self._most_held = tuple(inf if most is None else most for most in (host, device))
        self._ahead = int(engine.model.device.type == "cuda")
        self._answers: list[_Answer] = []  # in the order in which they came
        self._rows: Rows | None = None
        fills = isinstance(self._engine, FastEngine) and engine.model.device.type == "cuda"
        self.vision = Vision(engine.model, FULL if fills else 0)
        self.largest = 0  # answers of one step, so far
        self._at_once = most  # rows of a pass
        self._full, self._closed = False, 0  # somebody waits for room; somebody waits for all to end

    @property
    def always_in_two(self) -> bool:
        return self._engine.always_in_two

    @property
    def has_room(self) -> bool:
        """Whether another answer could begin now: as far as is known before its prompt is read."""
        if self._full or self._closed:
            return False
        fit = (held < most for held, most in zip(self.held, self._most_held, strict=True))
        return len(self._answers) < self.most and all(fit)

    @contextmanager
    def holding(self, host: int, device: int = 0) -> Iterator[None]:
        """Meanwhile a clip that is asked about holds so much (`held`)."""
        self.held = (self.held[0] + host, self.held[1] + device)
        try:
            yield
        finally:
            self.held = (self.held[0] - host, self.held[1] - device)

    @property
    def seated(self) -> int:
        """Answers that have buffers."""
        return sum(one.rows is not None for one in self._answers)

    @torch.no_grad()
    def step(self) -> int:
        """Encode clips that wait for it, and read the pending token of every answer that has one; of how many."""
        encoded = self.vision.step()
        self._place()
        ready = [one for one in self._answers if self._is_ready(one)]
        for rows in dict.fromkeys(one.rows for one in ready):
            assert rows is not None
            self._step_of(rows, [one for one in ready if one.rows is rows])
        return len(ready) + encoded

    def give_way(self) -> Iterator[None] | None:
        """Until the answers that hold memory have ended; those that come then get less of it."""
        if not self._answers and self._rows is None:
            return self._engine.give_way()
        return self._emptied()

    def rest(self) -> None:
        """Give back the buffers, where no answer is on its way. An only answer needs none: there are no more then."""
        if not self._answers:
            self._rows = None

    def release(self) -> None:
        """Give back the buffers, where no answer is on its way, and what the engine keeps."""
        self.rest()
        self._engine.release()

    def warm_up(self) -> None:
        self._engine.warm_up()

    def read(self, prompt: Prompt, cache: SharpVCache, memory: Observer | None = None) -> Tensor:
        return self._engine.read(prompt, cache, memory)

    def prefill(self, prompt: Prompt, *, m: float | None) -> Prefill:
        return self._engine.prefill(prompt, m=m)

    def read_prefix(self, prompt: Prompt, length: int, *, m: float | None) -> Prefix:
        return self._engine.read_prefix(prompt, length, m=m)

    def read_on(self, prefix: Prefix, prompt: Prompt, *, last: bool = False) -> Prefill:
        return self._engine.read_on(prefix, prompt, last=last)

    def _behind(self, start: Prefill, ids: Tensor) -> Tensor:
        return self._engine._behind(start, ids)

    def _tokens(self, start: Prefill, choose: Sampler, count: int) -> Generator[int | None]:
        if not isinstance(self._engine, FastEngine):
            yield from self._engine._tokens(start, choose, count)
            return
        token = choose(start.logits)
        yield int(token)
        if count > 1:
            yield from self._told(_Answer(start, choose, token, count - 1))

    def _told(self, one: _Answer) -> Iterator[int | None]:
        self._answers.append(one)
        try:
            if len(self._answers) > 1:
                self._place()
            while one.is_going_on:
                one.go_on()
                if len(one.coming) > self._ahead or (one.coming and not one.left):
                    yield int(one.coming.popleft()())
                else:
                    yield None
        finally:
            self._answers.remove(one)
            one.leave()
            self._full = False

    def _emptied(self) -> Iterator[None]:
        self._closed += 1
        try:
            while self._answers:
                yield None
        finally:
            self._closed -= 1
        self._shrink()
        self.release()

    def _place(self) -> None:
        """Seat those that have no seat, first come, first served."""
        self._full = not all(one.is_placed or self._has_seat(one) for one in self._answers)

    def _has_seat(self, one: _Answer) -> bool:
        """Whether it has one now. Where memory runs out it waits for others, or goes on alone, or fails."""
        failure: Exception | None = None
        for alone in (len(self._answers) == 1 and self._rows is None, True):
            try:
                return self._sits(one, alone)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                failure = error.with_traceback(None)  # which holds on to tensors
            if self.seated:
                return False
            self._shrink()
        one.error = failure
        return True

    def _sits(self, one: _Answer, alone: bool) -> bool:
        if self.seated >= self.most:
            return False
        assert isinstance(self._engine, FastEngine)
        if not alone:
            self._rows = self._rows or self._engine.rows(self.most, self._bound)
            if one.sit(self._rows):
                return True
        return not self.seated and one.sit(Alone(self._engine.steps))

    def _shrink(self) -> None:
        """Nobody is seated: give buffers back, and take fewer from now on."""
        self._rows, self._bound = None, max(self._bound // 2, self._least_bound)

    def _is_ready(self, one: _Answer) -> bool:
        told = one.logits is None and one.error is None and len(one.coming) <= self._ahead
        return bool(one.rows is not None and one.left and told)

    def _step_of(self, rows: Rows, answers: Sequence[_Answer]) -> None:
        """Where it fails, fewer at a time, down to the one whose error it is; where memory runs out, from now on."""
        at_once = self._at_once
        while answers:
            part = answers[:at_once]
            self.largest = max(self.largest, len(part))
            try:
                _step(rows, part)
            except (RuntimeError, MemoryError) as error:
                if isinstance(error, torch.AcceleratorError) and not out_of_memory(error):
                    raise  # such a device does nothing more in this process
                if len(part) == 1:
                    part[0].error = error.with_traceback(None)
                at_once = max(1, len(part) // 2)
                if out_of_memory(error):
                    self._at_once = self.most = at_once
            else:
                answers = answers[len(part) :]
            answers = [one for one in answers if one.error is None]


def _step(rows: Rows, answers: Sequence[_Answer]) -> None:
    """All of it or nothing: what may want memory comes before the step counts."""
    seats = [one.seat for one in answers]
    logits, largest = rows.step(seats)
    numbers = Late(largest) if any(one.choose.is_plain for one in answers) else None
    own = [None if one.choose.is_plain else logits[row : row + 1].clone() for row, one in enumerate(answers)]
    rows.count(seats)
    for row, one in enumerate(answers):
        one.left -= 1
        one.logits = own[row]
        if numbers is not None and one.choose.is_plain:
            one.coming.append(partial(numbers.value, row))
        if not one.left:
            one.leave()
