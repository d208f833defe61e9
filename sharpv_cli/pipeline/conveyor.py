"""Several answers on their way at once: while one waits for a step, others are looked at, read, and said.

Whoever answers many questions has a generator for each piece of work, and gives them to one conveyor.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Generic, Protocol, TypeVar

from sharpv_cli.pipeline.aside import until_done
from sharpv_cli.types import Answer, Event, Finished, PromptRead, Waiting

T = TypeVar("T")


class Steps(Protocol):
    """An engine for several answers, as far as it is driven here (`engine.together`)."""

    @property
    def most(self) -> int:
        """Answers at once."""

    @property
    def has_room(self) -> bool:
        """Whether another answer could begin now."""

    def step(self) -> object:
        """Make one for all answers; nothing, or 0, where there is none to make."""


_LOOK_SEC = 0.05


class Patient:
    """The steps of `engine`; where there is none to make, it waits for what work waits for (`until`)."""

    def __init__(self, engine: Steps) -> None:
        self._engine = engine
        self._coming: list[Future[Any]] = []

    @property
    def most(self) -> int:
        return self._engine.most

    @property
    def has_room(self) -> bool:
        return self._engine.has_room

    def step(self) -> None:
        if not self._engine.step() and self._coming:
            wait(self._coming, _LOOK_SEC, return_when=FIRST_COMPLETED)

    def until(self, coming: Future[T]) -> Generator[Waiting, None, T]:
        """What comes from another thread, while other work goes on."""
        self._coming.append(coming)
        try:
            yield from until_done(coming)
        finally:
            self._coming.remove(coming)
        return coming.result()


class Conveyor(Generic[T]):
    """Advances pieces of work, between the steps of an `engine` for several answers: whatever each tells, as it comes.

    A piece of work tells Waiting where it cannot go on before a step was made; else it is not interrupted, and it deals
    with its own errors. With an engine for one answer none waits, and one goes after the other.
    """

    def __init__(self, engine: Steps | None) -> None:
        self._engine = engine
        self._going: list[Generator[T | Waiting]] = []

    def told(self, begin: Callable[[bool], Generator[T | Waiting] | None]) -> Generator[T]:
        """What is told of all the work that `begin` gives, until there is none going and it gives none.

        It is asked for one more before each step, where there is room: so answers end one by one, and not all at the
        end. And for more at once where the last one would have their company. It may wait only where its argument says
        so. Close it.
        """
        try:
            while True:
                work = begin(not self._going) if not self._going or self._has_room() else None
                if work is not None:
                    self._going.append(work)
                    if (yield from self._advanced(work)):
                        continue
                elif not self._going:
                    return
                if self._going:
                    yield from self._step()
        finally:
            for work in self._going:
                work.close()

    def _step(self) -> Iterator[T]:
        assert self._engine is not None, "nobody waits for a step that nobody makes"
        self._engine.step()
        for work in tuple(self._going):
            yield from self._advanced(work)

    def _has_room(self) -> bool:
        return self._engine is not None and len(self._going) < self._engine.most and self._engine.has_room

    def _advanced(self, work: Generator[T | Waiting]) -> Generator[T, None, bool]:
        """Until it waits again, or ends; whether it would have company where it waits."""
        for told in work:
            if isinstance(told, Waiting):
                return told.company
            yield told
        self._going.remove(work)
        return False


def waited(steps: Generator[Event, None, T]) -> Generator[Waiting, None, T]:
    """What a generator returns, for work on a conveyor."""
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if isinstance(event, Waiting):
            yield event


def answer_of(
    events: Iterator[Event], once_read: Callable[[], None] = lambda: None
) -> Generator[Waiting, None, Answer]:
    """As `whole_answer`, for work on a conveyor; `once_read` is called when the prompt has been read."""
    for event in events:
        if isinstance(event, Waiting):
            yield event
        elif isinstance(event, PromptRead):
            once_read()
        elif isinstance(event, Finished):
            if event.answer.finish_reason == "interrupted":
                raise KeyboardInterrupt
            return event.answer
    raise AssertionError("an answer ends with itself")
