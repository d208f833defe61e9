"""What a command's process and the one that holds the model say to each other, over a pair of sockets of their own.

Both come from one process, and nobody else has these sockets: unlike what comes from a client, this is pickled.
"""

from __future__ import annotations

import os
import pickle
import select
import traceback
from collections import deque
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any, Literal, TypeVar

from sharpv_cli import shortage, signals, terminal
from sharpv_cli.errors import SharpvError
from sharpv_cli.session import Work
from sharpv_cli.types import Finished, Loaded
from sharpv_cli.video import wire

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a command wants: `work` done, or of the work of this number, that Ctrl-C is heard there or that it ends.

    `verbose`: with what libraries say to their callers; `pictures`: with the frames.
    """

    kind: Literal["work", "interrupt", "leave"]
    number: int
    work: Work[Any, Any] | None = None
    verbose: bool = False
    pictures: bool = True


@dataclass(frozen=True, slots=True)
class Told:
    """What becomes of it: an item of it, how it ends, how many are before it, or a library's warning.

    `news` is what there is to say to a user when the command is over.
    """

    kind: Literal["item", "end", "error", "place", "warning"]
    number: int
    value: Any
    news: str | None = None


class Distant:
    """The process that holds the model, as `session.Resident`, in a command's process: one piece of work at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._coming: deque[Told] = deque()
        self._number = 0
        self.has_loaded = False
        self.news: list[str] = []
        self.place = 0

    def done(self, work: Work[T, R], *, pictures: bool) -> Generator[T, None, R]:
        """As `session.done`; Ctrl-C, here or thrown in, is heard where the work is done."""
        self._number = number = self._number + 1
        self._say(Wish("work", number, work, terminal.is_verbose(), pictures))
        with ExitStack() as on_leaving:
            on_leaving.callback(self._say, Wish("leave", number))
            while True:
                try:
                    told = self._next(number)
                    if told.kind != "item":
                        break
                    self.has_loaded |= isinstance(told.value, Loaded)
                    yield told.value
                except KeyboardInterrupt:
                    self._say(Wish("interrupt", number))
            on_leaving.pop_all()
        if told.kind == "error":
            raise _error_of(*told.value)
        result: R = told.value
        return result

    def _next(self, number: int) -> Told:
        """Of this piece of work; what is left of one that was given up is passed over."""
        while True:
            while not self._coming:
                select.select([self._connection], [], [])  # Ctrl-C comes here: no message is cut in two
                with signals.held_back():
                    self._coming.append(self._received())
            told = self._coming.popleft()
            if told.number != number:
                continue
            if told.news is not None:
                self.news.append(told.news)
            if told.kind == "place":
                self.place = told.value
            elif told.kind == "warning":
                terminal.say_warning(*told.value)
            else:
                self.place = 0
                return told

    def _received(self) -> Told:
        try:
            told: Told = wire.receive(self._connection)
        except (EOFError, OSError):
            leave_at_once()
        return told

    def _say(self, wish: Wish) -> None:
        try:
            self._connection.send(wish)
        except ConnectionError:
            leave_at_once()


def leave_at_once() -> None:
    """The model is gone, and this process as if it had gone with it: whoever typed the command knows what to do."""
    signals.run_cleanups()
    os._exit(1)


class ThereError(Exception):
    """The cause of an error that another process raised: its traceback."""


def told_of(error: BaseException) -> tuple[BaseException, str]:
    """What is sent of an error: want of a resource as what it is, and only what can be pickled."""
    trace = "".join(traceback.format_exception(error))
    if not isinstance(error, SharpvError) and (what := shortage.lack(error)) is not None:
        error = shortage.short(what)
    try:
        pickle.loads(pickle.dumps(error))
    except (pickle.PicklingError, TypeError, AttributeError, ValueError):
        return RuntimeError(f"{type(error).__name__}: {error}"), trace
    return error, trace


def _error_of(error: BaseException, trace: str) -> BaseException:
    if terminal.debug():
        error.__cause__ = ThereError(f"in the resident process\n{trace}")
    return error


def without_pictures(event: object) -> object:
    """The event as it is told where nobody looks at the frames, which may be hundreds of MB."""
    if isinstance(event, Loaded):
        return replace(event, sample=event.sample.without_pictures())
    if isinstance(event, Finished):
        return replace(event, answer=replace(event.answer, sample=event.answer.sample.without_pictures()))
    return event
