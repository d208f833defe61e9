"""Memory SharpV in the prefill, and the cache it discards from."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import reference
import torch
from tiny_checkpoint import LAYERS
from tiny_model import (
    assert_close,
    assert_far,
    captured,
    everything,
    explicit_mask_logits,
    hook_count,
    loaded,
    recorded_logits,
    some,
)

from sharpv_cli.engine.cache import SharpVCache, cache_argument, others
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.models.capture import Prompt

M = 0.2


def layer_outputs(prompt: Prompt) -> list[np.ndarray]:
    """What each decoder layer puts out in a plain forward pass, [P, D] each."""
    outputs: list[np.ndarray] = []
    decoder = loaded().model.get_decoder()
    hooks = [
        layer.register_forward_hook(
            lambda _m, _a, out: outputs.append((out[0] if isinstance(out, tuple) else out)[0].numpy())
        )
        for layer in decoder.layers
    ]
    with torch.no_grad():
        decoder(inputs_embeds=prompt.embeds, position_ids=prompt.position_ids, use_cache=True)
    for hook in hooks:
        hook.remove()
    return outputs


@pytest.mark.parametrize("m", [-1.0, 0.1, M, 0.3, 1.0])
def test_decisions_equal_a_recomputation_from_the_hidden_states(m: float) -> None:
    whole = captured()
    prompt = whole.prune(some(whole))
    at = prompt.visual.numpy()
    want = [reference.similarity(h[at], prompt.embeds[0].numpy()[at]) for h in layer_outputs(prompt)]

    read = ReferenceEngine(loaded().model).prefill(prompt, m=m)

    np.testing.assert_allclose(read.similarities, want, atol=1e-5)
    assert read.discarded == {layer for layer, s in enumerate(want) if s < m}
    text = len(prompt) - len(prompt.visual)
    assert read.cache.lengths == [text if i in read.discarded else len(prompt) for i in range(LAYERS)]


def test_the_default_threshold_discards_some_layers_of_the_test_model_and_not_all() -> None:
    whole = captured()

    read = ReferenceEngine(loaded().model).prefill(whole.prune(some(whole)), m=M)

    assert 0 < len(read.discarded) < LAYERS


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_answer_is_that_of_masks_which_hide_the_discarded_layers(attention: str) -> None:
    model, whole = loaded(attention), captured(attention)
    prompt = whole.prune(some(whole))

    with recorded_logits(model) as rows:
        read = ReferenceEngine(model.model).prefill(prompt, m=M)
        ids = list(ReferenceEngine(model.model).decode(read, max_new_tokens=10, stop_ids=()))

    got = torch.stack(rows)
    assert_close(got, explicit_mask_logits(model, prompt, ids, blind_layers=read.discarded))
    assert_far(got, explicit_mask_logits(model, prompt, ids))


def test_the_first_token_does_not_depend_on_the_threshold() -> None:
    whole = captured()
    prompt = whole.prune(some(whole))
    logits = [ReferenceEngine(loaded().model).prefill(prompt, m=m).logits for m in (None, -1.0, M, 1.0)]

    assert all(torch.equal(logits[0], other) for other in logits[1:])


def test_without_a_threshold_nothing_is_measured() -> None:
    whole = captured()

    read = ReferenceEngine(loaded().model).prefill(whole.prune(some(whole)), m=None)

    assert read.similarities == (None,) * LAYERS
    assert read.discarded == frozenset()


def test_without_visual_tokens_nothing_is_decided() -> None:
    whole = captured()
    prompt = whole.prune(~everything(whole))

    read = ReferenceEngine(loaded().model).prefill(prompt, m=1.0)

    assert len(prompt.visual) == 0
    assert read.similarities == (None,) * LAYERS
    assert read.cache.lengths == [whole.text_tokens] * LAYERS


def test_memory_is_returned_during_the_prefill_not_after_it() -> None:
    model, whole = loaded(), captured()
    prompt = whole.prune(everything(whole))
    decoder = model.model.get_decoder()
    keys: list[weakref.ref[torch.Tensor]] = []
    alive_at_next_layer: list[bool] = []

    def watch(_layer: object, _args: object, kwargs: dict[str, SharpVCache]) -> None:
        gc.collect()
        alive_at_next_layer.append(bool(keys) and keys[-1]() is not None)

    def remember(_module: object, _args: object, kwargs: dict[str, object], _out: object) -> None:
        layer = len(keys)
        keys.append(weakref.ref(kwargs[cache_argument(decoder)].layers[layer].keys))

    gc.freeze()  # what was there before is not searched at each layer
    hooks = [layer.register_forward_pre_hook(watch, with_kwargs=True) for layer in decoder.layers]
    hooks += [layer.self_attn.register_forward_hook(remember, with_kwargs=True) for layer in decoder.layers]
    try:
        kept = ReferenceEngine(model.model).prefill(prompt, m=-1.0)
        assert alive_at_next_layer == [False] + [True] * (LAYERS - 1)
        keys.clear()
        alive_at_next_layer.clear()
        freed = ReferenceEngine(model.model).prefill(prompt, m=1.0)
    finally:
        gc.unfreeze()
        for hook in hooks:
            hook.remove()

    assert alive_at_next_layer == [False] * LAYERS
    assert all(key() is None for key in keys)
    entry = kept.cache.nbytes // (LAYERS * len(prompt))
    assert freed.cache.nbytes == entry * LAYERS * whole.text_tokens


def test_hooks_are_removed_when_the_prefill_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    model, whole = loaded(), captured()
    before = hook_count(model)
    monkeypatch.setattr(model.model.get_decoder().layers[2].mlp, "forward", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        ReferenceEngine(model.model).prefill(whole.prune(some(whole)), m=M)

    assert hook_count(model) == before


def filled(layers: int, length: int) -> SharpVCache:
    cache = SharpVCache(layers)
    for index in range(layers):
        states = torch.arange(length, dtype=torch.float32).reshape(1, 1, length, 1).expand(1, 2, length, 4)
        cache.update(states + 100 * index, states, index)
    return cache


def test_eviction_keeps_the_others_in_order_and_counts_what_was_seen() -> None:
    cache = filled(2, 6)

    cache.layers[1].retain(others(torch.tensor([4, 1]), 6))

    assert cache.layers[1].keys[0, 0, :, 0].tolist() == [100, 102, 103, 105]
    assert cache.lengths == [6, 4]
    assert cache.layer_bytes == [2 * 2 * 4 * 4 * 6, 2 * 2 * 4 * 4 * 4]
    assert [cache.get_seq_length(i) for i in (0, 1)] == [6, 6]


def test_a_fork_goes_its_own_way() -> None:
    base = filled(2, 6)
    fork = base.fork()
    assert fork.layers[0].keys.data_ptr() == base.layers[0].keys.data_ptr()

    fork.layers[0].retain(others(torch.arange(3), 6))
    fork.update(torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 1, 4), 1)

    assert base.lengths == [6, 6]
    assert fork.lengths == [3, 7]
    assert base.layers[0].evicted == 0
