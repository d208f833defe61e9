"""Formulas and clocks behind the reported figures; no torch."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter


def kv_bytes(entries: int, *, layers: int, kv_heads: int, head_dim: int, itemsize: int) -> int:
    """Bytes of keys and values when each of `layers` layers stores `entries` tokens (batch of one)."""
    return 2 * layers * kv_heads * head_dim * itemsize * entries


def kv_retention(stored: int, visual_total: int, layers: int) -> float:
    """Visual KV entries stored over all layers / what no pruning would store."""
    return stored / (visual_total * layers)


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """The shape of a decoder-only language model with grouped-query attention: all that its cost depends on.

    `gated`: the MLP has three matrices (SwiGLU), not two. `itemsize` is bytes of one weight and of one KV number.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    itemsize: int
    gated: bool = True

    @property
    def layer_weights(self) -> int:
        """Numbers in the matrices of one layer, each a multiply-add a token: q, k, v, o and the MLP."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return attention + (3 if self.gated else 2) * self.hidden * self.intermediate

    @property
    def weight_bytes(self) -> int:
        """What a decode step reads of the weights: every layer's matrices and the output head."""
        return self.itemsize * (self.layers * self.layer_weights + self.hidden * self.vocabulary)

    def prefill_flops(self, tokens: int, *, causal: bool = True) -> int:
        """FLOPs of reading `tokens` and scoring the next one, two a multiply-add.

        Attention does 4 head_dim FLOPs a query head and pair of tokens; `causal` counts the pairs a token sees,
        else all (what kernels without causal skipping do, and what torch's counter counts).
        """
        pairs = tokens * (tokens + 1) // 2 if causal else tokens * tokens
        attention = 4 * self.heads * self.head_dim * pairs
        return self.layers * (2 * tokens * self.layer_weights + attention) + self._head_flops

    def decode_flops(self, lengths: Sequence[int]) -> int:
        """FLOPs of one decode step, when each layer stores `lengths` entries before it and one more in it.

        Grouped-query attention makes K and V smaller, not the number of query heads that meet them.
        """
        seen = sum(length + 1 for length in lengths)
        return 2 * self.layers * self.layer_weights + 4 * self.heads * self.head_dim * seen + self._head_flops

    def decode_kv_bytes(self, lengths: Sequence[int]) -> int:
        """Bytes of the KV cache that one decode step reads, its own entry included."""
        size = kv_bytes(1, layers=1, kv_heads=self.kv_heads, head_dim=self.head_dim, itemsize=self.itemsize)
        return size * sum(length + 1 for length in lengths)

    @property
    def _head_flops(self) -> int:
        return 2 * self.hidden * self.vocabulary


def time_per_output_token(first_sec: float, last_sec: float, tokens: int) -> float | None:
    """TPOT: mean seconds of a token after the first; None when there is none."""
    return (last_sec - first_sec) / (tokens - 1) if tokens > 1 else None


def now() -> float:
    """Seconds on the clock that every reported time is read from; tests put their own in its place."""
    return perf_counter()


def peak_rss_bytes() -> int:
    """The largest resident size this process has had, in bytes; 0 where the system does not tell.

    Linux says it in /proc; getrusage would there count what the process was before it became this program.
    """
    with suppress(OSError), open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no pathlib here
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
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
        start = now()
        yield
        self._synchronize()
        self.seconds[name] += now() - start
