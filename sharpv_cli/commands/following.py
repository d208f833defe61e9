"""Acting on the events of a pipeline that Ctrl-C may end early."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")


def follow(event: T, events: Generator[T, None, None], act: Callable[[T], bool]) -> None:
    """Act on `event` and all after it, until `act` says that it was the last one.

    Ctrl-C may come while the pipeline works, which then finishes by itself, or while we act: then the pipeline is
    told, and what it makes of it comes next. Before there is anything to keep, or a second time, it goes through.
    """
    current: T | None = event
    while current is not None:
        try:
            current = None if act(current) else next(events, None)
        except KeyboardInterrupt:
            current = events.throw(KeyboardInterrupt())
