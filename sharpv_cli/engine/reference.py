"""The reference engine: the stock language model, layer by layer as transformers runs it.

With pruning off its tokens and logits are those of stock `generate`, bit for bit. It serves every model that
sharpv loads, and the fast engine is tested against it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from sharpv_cli.engine.cache import SharpVCache, cache_argument
from sharpv_cli.engine.engine import Engine, Prefill
from sharpv_cli.engine.memory import Observer
from sharpv_cli.engine.sampling import Sampler
from sharpv_cli.models.capture import Prompt
from sharpv_cli.models.hooks import removed_after


class ReferenceEngine(Engine):
    name = "reference"

    @torch.no_grad()
    def read(self, prompt: Prompt, cache: SharpVCache, memory: Observer | None = None) -> Tensor:
        with _watched(self.model.get_decoder(), prompt, memory):
            return self._forward(prompt.embeds, prompt.position_ids, cache, **prompt.extra)

    def _tokens(self, start: Prefill, choose: Sampler, count: int) -> Generator[int | None]:
        embed = self.model.get_input_embeddings()
        position = start.prompt.position_ids[..., -1:]
        logits = start.logits
        with _own_masks(self.model.get_decoder(), start.cache):
            for produced in range(1, count + 1):
                token = choose(logits)
                yield int(token)
                if produced < count:
                    position = position + 1
                    logits = self._forward(embed(token), position, start.cache)

    def _behind(self, start: Prefill, ids: Tensor) -> Tensor:
        """Token by token, as they would be decoded: for several at once, stock layers share one mask."""
        cache, embeds = start.cache.fork(), self.model.get_input_embeddings()(ids)
        rows = []
        with _own_masks(self.model.get_decoder(), cache):
            for place in range(ids.shape[1]):
                position = start.prompt.position_ids[..., -1:] + place + 1
                rows.append(self._forward(embeds[:, place : place + 1], position, cache))
        return torch.cat(rows)

    def _forward(self, embeds: Tensor, position_ids: Tensor, cache: SharpVCache, **extra: Any) -> Tensor:
        """One pass of the language model, [1, q, D] -> float32 logits of the last position [1, vocabulary].

        `extra` is what the decoder takes besides, for a pass that holds visual tokens (`Prompt.extra`).
        """
        # A cache must be given: without one, gaps between positions are read as borders of packed sequences.
        decoder = self.model.get_decoder()
        given = {cache_argument(decoder): cache, **extra}
        output = decoder(inputs_embeds=embeds, position_ids=position_ids, use_cache=True, **given)
        logits: Tensor = self.model.get_output_embeddings()(output.last_hidden_state[:, -1:])
        return logits[:, -1].float()


@contextmanager
def _watched(decoder: Any, prompt: Prompt, memory: Observer | None) -> Iterator[None]:
    """Show `memory` the output of each decoder layer it asks for; the hooks are removed however the pass ends."""
    if memory is None:
        yield
        return

    def show(index: int, observe: Observer) -> Any:
        def after(_layer: Any, _args: Any, output: Any) -> None:
            observe(index, output[0] if isinstance(output, tuple) else output, prompt)

        return after

    hooks = [
        decoder.layers[index].register_forward_hook(show(index, memory)) for index in memory.measured_layers
    ]
    with removed_after(hooks):
        yield


@contextmanager
def _own_masks(decoder: Any, cache: SharpVCache) -> Iterator[None]:
    """transformers builds one mask for all layers, by the first layer's length; ours differ.

    A single query sees every stored entry, so in a decoding step no layer needs a mask. Only passes on
    this very cache are touched: the model may serve another question between two tokens.
    """
    name = cache_argument(decoder)

    def unmask(_layer: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        if kwargs.get(name) is not cache or kwargs.get("attention_mask") is None:
            return None
        assert kwargs["attention_mask"].shape[-2] == 1, kwargs["attention_mask"].shape
        return args, {**kwargs, "attention_mask": None}

    hooks = [layer.register_forward_pre_hook(unmask, with_kwargs=True) for layer in decoder.layers]
    with removed_after(hooks):
        yield
