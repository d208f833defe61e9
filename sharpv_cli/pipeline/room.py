"""Work that waits for memory which other answers hold, where answers are decoded together."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

from sharpv_cli.engine.engine import Engine
from sharpv_cli.errors import ResourceError
from sharpv_cli.models.blame import out_of_memory
from sharpv_cli.types import Event, Waiting

T = TypeVar("T")


def given_room(
    engine: Engine, work: Callable[[], Generator[Event, None, T]], *, again: Callable[[], bool] = lambda: True
) -> Generator[Event, None, T]:
    """The events of `work`, and what it gives; tried `again`, where it can be, when there may be more memory."""
    while True:
        try:
            return (yield from work())
        except (ResourceError, RuntimeError, MemoryError) as error:
            if not (isinstance(error, ResourceError) or out_of_memory(error)) or not again():
                raise
            if (waiting := engine.give_way()) is None:
                raise
        # Out here, where the error no longer holds on to tensors.
        for _ in waiting:
            yield Waiting()
