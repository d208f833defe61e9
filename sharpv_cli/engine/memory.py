"""Memory SharpV in the prefill: each decoder layer is measured as it ends, and discards its visual KV entries
when too little of the visual input is left in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from sharpv_cli.engine.cache import SharpVCache, others
from sharpv_cli.engine.late import Late
from sharpv_cli.models.capture import Prompt
from sharpv_cli.models.layers import FULL, layer_kinds
from sharpv_cli.pruning.memory import similarity_at

# On CUDA the decision waits this many layers: the device still has work when the host waits for a number.
CUDA_LAG = 2


class Observer(Protocol):
    """Sees the output of decoder layers while a prompt is read."""

    @property
    def measured_layers(self) -> tuple[int, ...]:
        """The layers whose output is wanted."""

    def __call__(self, layer: int, hidden: Tensor, part: Prompt, *, last: bool = True) -> None:
        """One of them has put out [1, q, D] over `part` of the prompt; the parts come in order."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Has layers that were decided before keep only the entries that stay, int64 [n] rising, as each of them ends."""

    layers: Collection[int]
    cache: SharpVCache
    stays: Tensor

    @property
    def measured_layers(self) -> tuple[int, ...]:
        return tuple(sorted(self.layers))

    def __call__(self, layer: int, hidden: Tensor, part: Prompt, *, last: bool = True) -> None:
        del hidden, part
        if last:
            self.cache.layers[layer].retain(self.stays)


class MemorySharpV:
    """Called with each decoder layer's output, in order, during one prefill; `finish` ends it.

    `m` is the threshold M. Afterwards `similarities` holds s_l of every layer (None without visual
    tokens) and `degraded` the layers below the threshold, whose visual entries are gone; with `evict` off
    they are still there, for whoever reads on. Layers with a sliding window are neither measured nor touched.
    With DeepStack (Qwen3-VL) s_l is that of a layer's own output, before vision features are added to it.
    """

    def __init__(
        self, decoder: Any, cache: SharpVCache, prompt: Prompt, m: float, *, evict: bool = True
    ) -> None:
        self.similarities: list[float | None] = [None] * len(decoder.layers)
        self.degraded: set[int] = set()
        self._evict = evict
        self._kinds = layer_kinds(decoder.config)
        self._cache = cache
        self._m = m
        self._visual = prompt.visual
        self._text: Tensor | None = None
        self._length = len(prompt)
        self._sums: dict[int, Tensor] = {}
        self._readings: deque[tuple[int, Late]] = deque()
        self._lag = CUDA_LAG if prompt.embeds.is_cuda else 0

    @property
    def measured_layers(self) -> tuple[int, ...]:
        """The layers whose output is wanted: none without visual tokens."""
        if not len(self._visual):
            return ()
        return tuple(index for index, kind in enumerate(self._kinds) if kind == FULL)

    def __call__(self, layer: int, hidden: Tensor, part: Prompt, *, last: bool = True) -> None:
        """Measure one of `measured_layers` by its output [1, q, D] over `part` of the prompt.

        The parts come in order, and the layer is decided with the `last` one.
        """
        # Layers may lie on several devices; where they do not, `to` does nothing.
        visual, embeddings = part.visual.to(hidden.device), part.embeds[0].to(hidden.device)
        value = similarity_at(hidden[0], embeddings, visual)
        if len(part) < self._length:  # the mean over all parts
            value = value * len(visual) / len(self._visual) + self._sums.pop(layer, 0.0)
        if not last:
            self._sums[layer] = value
            return
        self._readings.append((layer, Late(value)))
        self._decide(until=self._lag)

    def finish(self) -> None:
        """Decide the layers that still wait for their number."""
        self._decide(until=0)

    def _decide(self, until: int) -> None:
        """Decide the oldest layers until at most `until` wait."""
        while len(self._readings) > until:
            layer, reading = self._readings.popleft()
            value = self.similarities[layer] = reading.value()
            if value < self._m:
                self.degraded.add(layer)
                if self._evict:
                    self._cache.layers[layer].retain(self._stays())

    def _stays(self) -> Tensor:
        """The entries of a discarding layer that are not visual."""
        if self._text is None:
            self._text = others(self._visual, self._length)
        return self._text
