"""FastV (arXiv 2403.06764), "An Image is Worth 1/2 Tokens After Layer 2": a rival that `sharpv eval` runs.

It needs attention scores, so it reads prompts on the stock layers with eager attention, whatever the model was loaded
with, and pays for that: layer by layer the scores of all pairs of tokens are held. Decoding is the reference engine's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from sharpv_cli.engine.cache import SharpVCache, others
from sharpv_cli.engine.engine import Engine, Prefill, Prefix
from sharpv_cli.engine.memory import Observer
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.errors import UsageError
from sharpv_cli.models.capture import Prompt
from sharpv_cli.models.hooks import removed_after

LAYER = 2
"""The paper's K."""


class FastVEngine(ReferenceEngine):
    """The stock language model, in which only `keep` visual tokens of a prompt go on after `layer` layers (K).

    The attention of the K-th layer decides: those visual tokens go on that get most of it from the last prompt token,
    in the mean over heads, ties to the lower index. The layers behind it see and store nothing of the others. So does
    the authors' code (repository pkunlp-icler/FastV); the paper ranks by the attention that a token gets from all
    others. They are really left out and the rest keep their positions, as in the code's variant with a KV cache
    (`fastv_kvcache.py`); its other variant hides them with a mask. The choice is made once, in the prefill.

    A prompt is read whole: what is kept depends on its question. `beside` is an engine of the same model whose answers
    hold memory meanwhile. UsageError for what FastV cannot do: a K that is no
    layer with another behind it, a model with DeepStack, Memory SharpV, a video shared by several questions.
    """

    name = "fastv"
    needs_scores = True

    def __init__(self, model: Any, *, keep: int, layer: int = LAYER, beside: Engine | None = None) -> None:
        super().__init__(model)
        assert keep >= 0, keep
        if not 1 <= layer < self.layers:
            raise UsageError(
                f"FastV cannot drop tokens after layer {layer} of {self.layers}",
                hint=f"give a layer from 1 to {self.layers - 1}",
            )
        if getattr(getattr(model.config, "vision_config", None), "deepstack_visual_indexes", None):
            raise _deepstack()
        self.keep = keep
        self.layer = layer
        self._beside = beside

    def give_way(self) -> Iterator[None] | None:
        return None if self._beside is None else self._beside.give_way()

    @torch.no_grad()
    def prefill(self, prompt: Prompt, *, m: float | None) -> Prefill:
        """Read the prompt; `m` must be None. No layer counts as discarded: see the lengths of its cache."""
        if m is not None:
            raise UsageError(
                "FastV does not go together with Memory SharpV", hint="switch memory off to measure FastV"
            )
        return super().prefill(prompt, m=None)

    @torch.no_grad()
    def read(self, prompt: Prompt, cache: SharpVCache, memory: Observer | None = None) -> Tensor:
        assert memory is None and not cache.get_seq_length(), (
            "FastV reads whole prompts, without Memory SharpV"
        )
        if prompt.extra:
            raise _deepstack()
        decoder, choice = self.model.get_decoder(), _Choice(prompt, self.keep)
        with _eager(decoder.config), _dropping(decoder, self.layer, choice):
            logits = self._forward(prompt.embeds, prompt.position_ids, cache)
        for layer in cache.layers[self.layer :]:
            layer.evicted += len(prompt) - layer.physical
        return logits

    def read_prefix(self, prompt: Prompt, length: int, *, m: float | None) -> Prefix:  # noqa: ARG002
        raise _no_sharing()

    def read_on(self, prefix: Prefix, prompt: Prompt, *, last: bool = False) -> Prefill:  # noqa: ARG002
        raise _no_sharing()


def _deepstack() -> UsageError:
    return UsageError(
        "FastV does not work on models with DeepStack, which add to the visual tokens behind the first layers",
        hint="measure FastV on a model of another family",
    )


def _no_sharing() -> UsageError:
    return UsageError(
        "FastV cannot read a video once for several questions: what it keeps depends on the question",
        hint="ask one question at a time",
    )


class _Choice:
    """Which tokens of a prompt go on behind layer K; `decide` and `shrink` are hooks, in this order, of one pass."""

    def __init__(self, prompt: Prompt, keep: int) -> None:
        self._visual, self._keep, self._length = prompt.visual, keep, len(prompt)
        self._stays: Tensor | None = None

    def decide(self, _attention: Any, _args: Any, output: Any) -> None:
        """After the attention of layer K, whose weights are [1, heads, P, P]."""
        weights = output[1]
        assert weights is not None, "eager attention gives its weights"
        received = weights[0, :, -1].float().mean(dim=0)[self._visual.to(weights.device)]
        falling = received.sort(descending=True, stable=True).indices.to(self._visual.device)
        self._stays = others(self._visual[falling[self._keep :]], self._length)

    def shrink(self, _layer: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Before each layer behind K: all that it is given has one row a token that stays."""
        hidden, *rest = args
        if hidden.shape[1] == self._length:  # the first of these layers; the others get what it put out
            hidden = self._pick(hidden, 1)
        given = {name: self._shrunk(name, value) for name, value in kwargs.items()}
        return (hidden, *rest), given

    def _shrunk(self, name: str, value: Any) -> Any:
        """One argument of a layer. The mask is [1, 1, P, P], rotary embeddings are cosines and sines [..., P, d]."""
        if name == "attention_mask":
            return self._pick(self._pick(value, -1), -2)
        if name == "position_embeddings":
            return tuple(self._pick(part, -2) for part in value)
        if name in ("position_ids", "cache_position") and value is not None:
            return self._pick(value, -1)
        assert not isinstance(value, Tensor), f"{name} may have to be shrunk"
        return value

    def _pick(self, tensor: Tensor, dim: int) -> Tensor:
        assert self._stays is not None and tensor.shape[dim] == self._length, tensor.shape
        return tensor.index_select(dim, self._stays.to(tensor.device))


@contextmanager
def _dropping(decoder: Any, layer: int, choice: _Choice) -> Iterator[None]:
    """Let the attention of the `layer`-th layer choose, and shrink what the ones behind it get; the hooks always go."""
    hooks = [decoder.layers[layer - 1].self_attn.register_forward_hook(choice.decide)]
    hooks += [
        behind.register_forward_pre_hook(choice.shrink, with_kwargs=True) for behind in decoder.layers[layer:]
    ]
    with removed_after(hooks):
        yield


@contextmanager
def _eager(config: Any) -> Iterator[None]:
    """Eager attention in the language model; what it was loaded with comes back, however the pass ends."""
    loaded_with = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = loaded_with
