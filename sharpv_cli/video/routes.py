"""Which stretches of a video to decode for the chosen frames, and by how many threads: pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.cores import cores as own_cores

_SEEK_COST = 4  # frames that could have been decoded in the time of one seek
_SHORT_RUN = 32  # frames; shorter runs are joined where nothing lies between them
_MAX_WORKERS = 4
# What a second thread inside one decoder adds, measured with FFmpeg's frame threads on H.264. A second decoder
# adds a whole one.
_THREAD_GAIN = 0.4
_IDLE_THREADS, _MOST_THREADS = 2, 16
# One thread decodes them in some hundredths of a second; further ones only start and wait.
_SMALL_PIXELS = 20_000_000


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch to decode: from the keyframe `key` to the last of `indices`, which go to `slot` and after."""

    key: int
    indices: tuple[int, ...]
    slot: int

    @property
    def cost(self) -> int:
        """In frames to decode."""
        return self.indices[-1] - self.key + 1 + _SEEK_COST


@dataclass(frozen=True, slots=True)
class Team:
    """Decoders side by side, each with its own container and so many threads."""

    workers: int
    threads: int


def runs_to(keys: NDArray[np.intp], indices: Sequence[int]) -> list[Run] | None:
    """The runs that reach frames `indices` (rising) from the keyframes `keys` (rising, [K]).

    None where a frame lies before all keyframes.
    """
    places = np.searchsorted(keys, indices, side="right") - 1
    if places[0] < 0:
        return None
    runs: list[Run] = []
    for slot, (index, key) in enumerate(zip(indices, keys[places].tolist(), strict=True)):
        if runs and (key == runs[-1].key or _joins(runs[-1], key)):
            runs[-1] = Run(runs[-1].key, (*runs[-1].indices, index), runs[-1].slot)
        else:
            runs.append(Run(key, (index,), slot))
    return runs


def _joins(run: Run, key: int) -> bool:
    return run.cost < _SHORT_RUN and key <= run.indices[-1] + _SEEK_COST


def team_for(runs: Sequence[Run], pixels: int, cores: int | None = None) -> Team:
    """The team that ends first, by estimate: a run cannot be shared, so few long ones want threads inside.

    `pixels` are those of a frame.
    """
    cores = cores or own_cores()
    total, longest = sum(run.cost for run in runs), max(run.cost for run in runs)
    if is_small(total * pixels):
        return Team(1, 1)

    def wait(workers: int) -> float:
        return max(total / workers, longest) / (1 + _THREAD_GAIN * (cores // workers - 1))

    workers = min(range(1, min(cores, _MAX_WORKERS, len(runs)) + 1), key=wait)
    return Team(workers, threads_inside(cores // workers))


def is_small(pixels: int) -> bool:
    """Whether so many pixels, of all frames to decode together, are sooner decoded by one thread than shared."""
    return pixels <= _SMALL_PIXELS


def threads_inside(cores: int | None = None) -> int:
    """The threads of one decoder that has so many cores for itself, all that are ours by default.

    Some more than there are: those that wait for another's rows, or for the reader to take pictures, are idle. Beyond
    a dozen they bring nothing, and each takes pictures of its own and the time to start.
    """
    cores = cores or own_cores()
    return min(cores + _IDLE_THREADS, _MOST_THREADS) if cores > 1 else 1


def most_threads(cores: int) -> int:
    """Those of any team on so many cores, and the one that converts beside a single decoder."""
    teams = range(1, min(cores, _MAX_WORKERS) + 1)
    return max(workers * threads_inside(cores // workers) + (workers == 1 < cores) for workers in teams)
