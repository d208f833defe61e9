"""One part of a whole that several machines or jobs share, as `--shard 2/8` says it."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from sharpv_cli.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `count`, from 1."""

    index: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def has(self, number: int) -> bool:
        return number % self.count == self.index - 1

    def of(self, rows: Iterable[T], key: Callable[[T], Hashable]) -> list[T]:
        """The rows of this part, in their order; those with the same key are in one part."""
        places: dict[Hashable, int] = {}
        return [row for row in rows if self.has(places.setdefault(key(row), len(places)))]


def read_shard(text: str | None) -> Shard:
    """`2/8`; the whole for None. Raises UsageError."""
    if text is None:
        return Shard()
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    index, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= index <= count:
        raise UsageError(
            f"--shard {text}: not a part of a whole", hint="the second of eight parts is --shard 2/8"
        )
    return Shard(index, count)
