"""Prefill and decoding with the stock language model: a generator of token ids that knows no text."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import RepetitionPenaltyLogitsProcessor

from sharpv_cli.engine.cache import SharpVCache
from sharpv_cli.engine.memory import MemorySharpV
from sharpv_cli.models.door import Prompt


@dataclass(frozen=True, slots=True)
class Prefill:
    """A prompt that the language model has read, ready to be decoded once.

    `logits` float32 [1, vocabulary] of the first answer token; `similarities` s_l by layer, None where it was
    not measured; `discarded` the layers without visual entries. Decoding goes on with `cache`.
    """

    prompt: Prompt
    logits: Tensor
    cache: SharpVCache
    similarities: tuple[float | None, ...]
    discarded: frozenset[int]


@torch.no_grad()
def prefill(model: Any, prompt: Prompt, *, m: float | None) -> Prefill:
    """Read the prompt; with a threshold `m`, Memory SharpV discards on the way (None: no layer is measured).

    The prefill itself attends to everything, so its logits do not depend on `m`.
    """
    decoder = model.get_decoder()
    cache = SharpVCache(len(decoder.layers))
    if m is None:
        logits = read(model, prompt, cache)
        return Prefill(prompt, logits, cache, (None,) * len(decoder.layers), frozenset())
    with MemorySharpV(decoder, cache, prompt, m) as memory:
        logits = read(model, prompt, cache)
    return Prefill(prompt, logits, cache, tuple(memory.similarities), frozenset(memory.degraded))


@torch.no_grad()
def decode(
    model: Any,
    start: Prefill,
    *,
    max_new_tokens: int,
    stop_ids: Collection[int],
    temperature: float = 0.0,
    seed: int | None = None,
) -> Generator[int, None, None]:
    """Yield the answer's token ids; a stop id ends it and is not yielded.

    Greedy at temperature 0, else sampled from softmax(logits / temperature) with a generator of its own,
    seeded with `seed`. The checkpoint's repetition penalty holds, as in stock `generate`; its top-k and
    top-p do not. `start.cache` grows: a Prefill can be decoded once.
    """
    choose = _Chooser(model, start.prompt.input_ids, temperature, seed)
    embed = model.get_input_embeddings()
    position = start.prompt.position_ids[..., -1:]
    logits = start.logits
    with _own_masks(model.get_decoder(), start.cache):
        for produced in range(1, max_new_tokens + 1):
            token = choose(logits)
            token_id = int(token)
            if token_id in stop_ids:
                return
            yield token_id
            if produced < max_new_tokens:
                position = position + 1
                logits = _forward(model, embed(token), position, start.cache)


def read(model: Any, prompt: Prompt, cache: SharpVCache) -> Tensor:
    """The language model over a prompt, or the part of one that `cache` does not hold yet.

    Gives the logits of its last token, float32 [1, vocabulary].
    """
    return _forward(model, prompt.embeds, prompt.position_ids, cache, **prompt.extra)


def _forward(model: Any, embeds: Tensor, position_ids: Tensor, cache: SharpVCache, **extra: Any) -> Tensor:
    """One pass of the language model, [1, q, D] -> float32 logits of the last position [1, vocabulary].

    `extra` is what the decoder takes besides, for a pass that holds visual tokens (`Prompt.extra`).
    """
    # A cache must be given: without one, gaps between positions are read as borders of packed sequences.
    output = model.get_decoder()(
        inputs_embeds=embeds, position_ids=position_ids, past_key_values=cache, use_cache=True, **extra
    )
    logits: Tensor = model.get_output_embeddings()(output.last_hidden_state[:, -1:])
    return logits[:, -1].float()


@contextmanager
def _own_masks(decoder: Any, cache: SharpVCache) -> Iterator[None]:
    """transformers builds one mask for all layers, by the first layer's length; ours differ.

    A single query sees every stored entry, so in a decoding step no layer needs a mask. Only passes on
    this very cache are touched: the model may serve another question between two tokens.
    """

    def unmask(_layer: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        if kwargs.get("past_key_values") is not cache or kwargs.get("attention_mask") is None:
            return None
        assert kwargs["attention_mask"].shape[-2] == 1, kwargs["attention_mask"].shape
        return args, {**kwargs, "attention_mask": None}

    hooks = [layer.register_forward_pre_hook(unmask, with_kwargs=True) for layer in decoder.layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Chooser:
    """The next token, int64 [1, 1], from logits float32 [1, vocabulary]."""

    def __init__(self, model: Any, input_ids: Tensor, temperature: float, seed: int | None) -> None:
        self._temperature = temperature
        self._generator: torch.Generator | None = None
        if temperature > 0:
            self._generator = torch.Generator(device=input_ids.device)
            if seed is not None:
                self._generator.manual_seed(seed)
            else:
                self._generator.seed()
        penalty = getattr(model.generation_config, "repetition_penalty", None)
        self._penalty = RepetitionPenaltyLogitsProcessor(penalty) if penalty not in (None, 1.0) else None
        self._seen = input_ids

    def __call__(self, logits: Tensor) -> Tensor:
        if self._penalty is not None:
            logits = self._penalty(self._seen, logits)
        token = self._pick(logits)
        if self._penalty is not None:
            self._seen = torch.cat([self._seen, token], dim=-1)
        return token

    def _pick(self, logits: Tensor) -> Tensor:
        if self._generator is None:
            return logits.argmax(dim=-1, keepdim=True)
        odds = torch.softmax(logits / self._temperature, dim=-1)
        return torch.multinomial(odds, num_samples=1, generator=self._generator)
