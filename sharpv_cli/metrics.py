"""Formulas and clocks behind the reported figures; no torch."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter


def kv_bytes(entries: int, *, layers: int, kv_heads: int, head_dim: int, itemsize: int) -> int:
    """Bytes of keys and values when each of `layers` layers stores `entries` tokens (batch of one)."""
    return 2 * layers * kv_heads * head_dim * itemsize * entries


def kv_retention(stored: int, visual_total: int, layers: int) -> float:
    """Visual KV entries stored over all layers / what no pruning would store."""
    return stored / (visual_total * layers)


def time_per_output_token(first_sec: float, last_sec: float, tokens: int) -> float | None:
    """TPOT: mean seconds of a token after the first; None when there is none."""
    return (last_sec - first_sec) / (tokens - 1) if tokens > 1 else None


def peak_rss_bytes() -> int:
    """The largest resident size this process has had, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB elsewhere


class StageClock:
    """Seconds of wall clock by stage; `synchronize` waits for the device, whose work would count later."""

    def __init__(self, synchronize: Callable[[], None] = lambda: None) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._synchronize = synchronize

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = perf_counter()
        yield
        self._synchronize()
        self.seconds[name] += perf_counter() - start
