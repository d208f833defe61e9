"""What a process that stays holds ready for its next command; in every other process nothing stays here.

What was used last stays longest. The shelf takes no memory that somebody needs: it holds few things, at most a part of
what is free, and all are given up where an answer would not fit beside them, or another model is loaded.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections import OrderedDict
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

PLACES = 8
_SHARE = 4  # one in so many bytes that would be free without the shelf


class Held(Protocol):
    """Something that takes memory."""

    @property
    def nbytes(self) -> int:
        """Bytes that it holds, on whatever device."""

    def free_bytes(self) -> int | None:
        """Bytes that are free now where it is held, None where that is not known."""


T = TypeVar("T", bound=Held)


class Shelf(Generic[T]):
    """A few things by key: as many as it has `places`, none until somebody sets them."""

    def __init__(self) -> None:
        self.places = 0
        self._held: OrderedDict[object, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: object) -> T | None:
        return self._held.get(key)

    def put(self, key: object, thing: T) -> None:
        """As what was used last; `fit` keeps the bounds."""
        self.drop(key)
        self._held[key] = thing

    def drop(self, key: object) -> None:
        self._held.pop(key, None)

    def fit(self) -> None:
        """Give up what was not used for longest, until the rest is within bounds."""
        before = len(self._held)
        while len(self._held) > self.places or (self._held and self._too_large()):
            self._held.popitem(last=False)
        if len(self._held) < before:
            give_memory_back()

    def give_up(self) -> bool:
        """Give up everything, because memory is wanted; whether there was anything."""
        if not self._held:
            return False
        self._held.clear()
        give_memory_back()
        return True

    def has_room_for(self, nbytes: int, free: int | None) -> bool:
        """Whether so many bytes may stay where `free` bytes are free."""
        return self.places > 0 and (free is None or nbytes <= (free + self._nbytes) // _SHARE)

    @property
    def _nbytes(self) -> int:
        return sum(thing.nbytes for thing in self._held.values())

    def _too_large(self) -> bool:
        latest = next(reversed(self._held.values()))
        return not self.has_room_for(self._nbytes, latest.free_bytes())


SHELF: Shelf[Any] = Shelf()


def give_memory_back() -> None:
    """To the system: what is not used any more, also where the C library would hold it for us."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL(None).malloc_trim(0)
