"""Which blocks of a pool belong to whom; the pool itself is somebody else's."""

from __future__ import annotations

from collections.abc import Sequence


class Blocks:
    """So many blocks of BLOCK entries each, numbered from 1 on: number 0 is nobody's."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = list(range(count, 0, -1))
        self._taken: dict[int, list[int]] = {}

    @property
    def taken(self) -> int:
        """Blocks that belong to somebody."""
        return self.count - len(self._free)

    def take(self, owner: int, counts: Sequence[int]) -> list[list[int]] | None:
        """So many blocks for each of the owner's layers, all at once; None where there are too few."""
        assert owner not in self._taken, owner
        if sum(counts) > len(self._free):
            return None
        each = [[self._free.pop() for _ in range(count)] for count in counts]
        self._taken[owner] = [number for numbers in each for number in numbers]
        return each

    def give_back(self, owner: int) -> None:
        self._free.extend(self._taken.pop(owner))
