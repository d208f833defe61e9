"""How the cores of a machine are shared where many videos are read and models answer beside them: pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from sharpv_cli.video.routes import most_threads

_MOST_READERS = 16


def default_readers(cores: int, processes: int = 1) -> int:
    """Videos read at a time beside so many models: the second half of the cores is theirs.

    A reader more is worth more than a thread more in each: it decodes twice as much with two cores, and a second thread
    adds less than half.
    """
    return max(processes, min(_MOST_READERS, max(cores // 2, min(2, cores))))


@dataclass(frozen=True, slots=True)
class Shares:
    """For each of the model's processes: how many `readers` it has, and the cores that are planned with in each reader,
    in the `model`, and in the reader of a `long` video, which is read in pieces when it is its turn.
    """

    readers: int
    reader: int
    model: int
    long: int

    @classmethod
    def of(cls, cores: int, readers: int, processes: int = 1) -> Shares:
        """All readers together run no more threads than there are cores, and leave one or more for long videos."""
        each = max(1, readers // processes)
        share = share_of(cores - processes, each * processes)
        left = cores - share * each * processes
        return cls(each, share, max(1, cores // processes), max(1, left // processes))


def share_of(cores: int, readers: int) -> int:
    """The cores to plan with in each of so many processes that decode at a time.

    So many that all their threads, those that are mostly idle too, are no more than there are cores.
    """
    each = cores // readers
    return max((share for share in range(2, each + 1) if most_threads(share) <= each), default=1)
