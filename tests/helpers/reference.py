"""SharpV in plain NumPy, written from the equations of docs/method.md, one loop a sum.

Deliberately slow and in float64, with no line shared with the product: the tests compare against it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def unit(vector: Array) -> Array:
    length = math.sqrt(math.fsum(float(x) ** 2 for x in vector))
    return vector / length if length > 0 else vector


def dissim(a: Array, b: Array) -> float:
    return math.sqrt(math.fsum(float(x) ** 2 for x in unit(a) - unit(b)))


def scores(features: NDArray[np.floating], w: float = 1.0) -> dict[str, Array]:
    """S, T, I [T, f] and r [T] of features [T, f, d]."""
    F = np.asarray(features, dtype=np.float64)
    frames, f, _ = F.shape
    S, T, importance = np.zeros((frames, f)), np.zeros((frames, f)), np.zeros((frames, f))
    r = np.zeros(frames)
    for t in range(frames):
        centre = F[t].mean(axis=0)
        for i in range(f):
            S[t, i] = dissim(F[t, i], centre)
            if t > 0:
                T[t, i] = dissim(F[t, i], F[t - 1, i])
                importance[t, i] = T[t, i] + w * S[t, i]
            else:
                importance[t, i] = (1 + w) * S[t, i]
        r[t] = np.linalg.norm(T[t] if t > 0 else S[t]) / (2 * math.sqrt(f))
    return {"S": S, "T": T, "I": importance, "r": r}


def keep_count(r: float, f: int, scale: float, min_tokens: int) -> int:
    return min(f, max(min_tokens, math.ceil(scale * r * f - 1e-4)))


def top(importance: Array, count: int) -> NDArray[np.bool_]:
    """The `count` largest of one frame; of equal ones the first."""
    ranked = sorted(range(len(importance)), key=lambda i: (-importance[i], i))
    keep = np.zeros(len(importance), dtype=bool)
    keep[ranked[:count]] = True
    return keep


def adaptive(importance: Array, r: Array, scale: float = 1.0, min_tokens: int = 1) -> NDArray[np.bool_]:
    f = importance.shape[1]
    return np.stack(
        [
            top(row, keep_count(float(ratio), f, scale, min_tokens))
            for row, ratio in zip(importance, r, strict=True)
        ]
    )


def manual(importance: Array, k: float, min_tokens: int = 1) -> NDArray[np.bool_]:
    return np.stack([top(row, max(min(min_tokens, len(row)), int((row > k).sum()))) for row in importance])


def similarity(hidden: NDArray[np.floating], embeddings: NDArray[np.floating]) -> float:
    """s_l: the mean over tokens of cos(V_l, V)."""
    cosines = [
        float(np.dot(unit(np.asarray(a, np.float64)), unit(np.asarray(b, np.float64))))
        for a, b in zip(hidden, embeddings, strict=True)
    ]
    return math.fsum(cosines) / len(cosines)
