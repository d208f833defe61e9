"""Intervals for shares and for differences between methods that answered the same questions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.types import Interval

RESAMPLES = 10_000
_CHUNK = 500  # resamples at a time: bounded memory for large benchmarks
_SEED = 0  # the same outcomes always give the same intervals


def wilson(right: int, total: int, z: float = 1.96) -> Interval:
    """Wilson's 95 % interval of a share (Wilson 1927): right also near 0 and 1, unlike the normal one."""
    share, spread = right / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def paired_bootstrap(
    ours: Sequence[bool], theirs: Sequence[bool], clusters: Sequence[object], resamples: int = RESAMPLES
) -> Interval:
    """The 95 % percentile interval of share(ours) - share(theirs), both over the same questions.

    Questions about one video stand or fall together, so whole videos are drawn: `clusters` names each question's
    (cluster bootstrap, Davison and Hinkley 1997, section 3.8). Deterministic.
    """
    difference, sizes = _by_cluster(np.asarray(ours, float) - np.asarray(theirs, float), clusters)
    generator = np.random.default_rng(_SEED)
    drawn: list[NDArray[np.float64]] = []
    for start in range(0, resamples, _CHUNK):
        count = min(_CHUNK, resamples - start)
        times = generator.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=count)
        drawn.append(times @ difference / (times @ sizes))
    low, high = np.percentile(np.concatenate(drawn), (2.5, 97.5))
    return Interval(float(low), float(high))


def _by_cluster(
    values: NDArray[np.float64], clusters: Sequence[object]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sum of the values and the number of questions of each cluster."""
    names = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    places = np.array([names[name] for name in clusters])
    sums, sizes = np.zeros(len(names)), np.zeros(len(names))
    np.add.at(sums, places, values)
    np.add.at(sizes, places, 1.0)
    return sums, sizes
