"""A prompt read in two parts: what several questions share, once, and each question on a fork of its cache.

Nothing is discarded from the shared part: each question is read with all layers, as a single one would be, and
discards for its own decoding only. So it gets the answer that it would get alone (docs/decisions.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from sharpv_cli.engine.cache import SharpVCache
from sharpv_cli.engine.decode import Prefill, read
from sharpv_cli.engine.memory import MemorySharpV
from sharpv_cli.models.door import Prompt


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first `length` tokens of a prompt, every visual one among them, as the language model has read them.

    `similarities` s_l by layer, None where it was not measured; `degraded` the layers that a question discards
    the visual entries of. `cache` holds all entries of all layers.
    """

    length: int
    cache: SharpVCache
    similarities: tuple[float | None, ...]
    degraded: frozenset[int]


@torch.no_grad()
def read_prefix(model: Any, prompt: Prompt, length: int, *, m: float | None) -> Prefix:
    """Read the first `length` tokens of `prompt`; with a threshold `m`, Memory SharpV measures each layer."""
    head = prompt.head(length)
    decoder = model.get_decoder()
    cache = SharpVCache(len(decoder.layers))
    if m is None:
        read(model, head, cache)
        return Prefix(length, cache, (None,) * len(decoder.layers), frozenset())
    with MemorySharpV(decoder, cache, head, m, evict=False) as memory:
        read(model, head, cache)
    return Prefix(length, cache, tuple(memory.similarities), frozenset(memory.degraded))


@torch.no_grad()
def read_on(model: Any, prefix: Prefix, prompt: Prompt, *, last: bool = False) -> Prefill:
    """Read the rest of `prompt`, which begins with the prefix's own tokens, and discard for its decoding.

    The prefix stays as it is for the next prompt, unless this is the `last` one: then its memory is used up.
    """
    cache = prefix.cache if last else prefix.cache.fork()
    logits = read(model, prompt.tail(prefix.length), cache)
    for layer in prefix.degraded:
        cache.layers[layer].evict(prompt.visual)
    return Prefill(prompt, logits, cache, prefix.similarities, prefix.degraded)
