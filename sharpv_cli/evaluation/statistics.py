"""Intervals for shares and for differences between methods that answered the same questions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.types import Interval

RESAMPLES = 10_000
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
    kinds, counts = _kinds(np.asarray(ours, int) - np.asarray(theirs, int), clusters)
    if not kinds[:, 0].any():
        return Interval(0.0, 0.0)  # whatever is drawn
    generator = np.random.default_rng(_SEED)
    drawn = generator.multinomial(counts.sum(), counts / counts.sum(), size=resamples) @ kinds
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], (2.5, 97.5))
    return Interval(float(low), float(high))


def _kinds(
    values: NDArray[np.int64], clusters: Sequence[object]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The sums of the values and numbers of questions that clusters have, and how many clusters have each.

    Clusters of one kind count alike, so that a few kinds are drawn, as often as all of their clusters would be.
    """
    names = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    places = np.array([names[name] for name in clusters])
    each = np.zeros((len(names), 2), int)
    np.add.at(each, places, np.stack([values, np.ones_like(values)], axis=1))
    return np.unique(each, axis=0, return_counts=True)
