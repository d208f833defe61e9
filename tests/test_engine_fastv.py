"""FastV against stock attention scores and one uncached pass with an explicit mask for each layer."""

from __future__ import annotations

from functools import cache

import pytest
import tiny_families
import tiny_model
import torch
from tiny_model import assert_close, assert_far, everything, hook_count, masked_logits, recorded_logits

from sharpv_cli.engine.engine import Prefill
from sharpv_cli.engine.fastv import FastVEngine
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.errors import UsageError
from sharpv_cli.models.capture import Prompt, capture
from sharpv_cli.models.loading import LoadedModel

NEW = 8
DEEPSTACK = "qwen3_vl"
FAMILIES = ["tiny", *(family for family in tiny_families.RECIPES if family != DEEPSTACK)]
each = pytest.mark.parametrize("family", FAMILIES)
attention = pytest.mark.parametrize("attention", ["sdpa", "eager"])


def loaded(family: str, attention: str = "sdpa") -> LoadedModel:
    return tiny_model.loaded(attention) if family == "tiny" else tiny_families.loaded(family, attention)


@cache
def dense(family: str, attention: str = "sdpa") -> Prompt:
    """The whole prompt, nothing pruned."""
    model = loaded(family, attention)
    inputs = tiny_model.stock_inputs(model) if family == "tiny" else tiny_families.inputs(model)
    whole = capture(model.model, inputs, model.family)
    return whole.prune(everything(whole))


def greedy(family: str, attention: str, keep: int, layer: int = 2) -> tuple[list[int], torch.Tensor, Prefill]:
    """Greedy ids, the logits [NEW, vocabulary] they came from, and the prefill."""
    model = loaded(family, attention)
    engine = FastVEngine(model.model, keep=keep, layer=layer)
    with recorded_logits(model) as rows:
        read = engine.prefill(dense(family, attention), m=None)
        ids = list(engine.decode(read, max_new_tokens=NEW, stop_ids=()))
    return ids, torch.stack(rows), read


@torch.no_grad()
def dropped(family: str, keep: int, layer: int) -> list[int]:
    """The places that FastV has to drop, by the attention scores that stock transformers reports."""
    prompt, decoder = dense(family, "eager"), loaded(family, "eager").model.get_decoder()
    scores = decoder(
        inputs_embeds=prompt.embeds,
        position_ids=prompt.position_ids,
        use_cache=True,
        output_attentions=True,
    ).attentions[layer - 1]
    received = scores[0].double().numpy().mean(axis=0)[-1]
    visual = prompt.visual.tolist()
    return sorted(visual, key=lambda place: (-received[place], place))[keep:]


def explicit_logits(
    family: str, attention: str, answer: list[int], gone: list[int], layer: int
) -> torch.Tensor:
    """Logits [len(answer), vocabulary] of one pass over prompt and answer; from index `layer` on `gone` is hidden."""
    model, prompt = loaded(family, attention), dense(family, attention)
    length = len(prompt) + len(answer) - 1
    seen = torch.ones(length, length, dtype=torch.bool).tril()
    hidden = seen.clone()
    hidden[:, gone] = False
    hidden |= torch.eye(length, dtype=torch.bool)
    layers = range(len(model.model.get_decoder().layers))
    return masked_logits(model, prompt, answer, [hidden if index >= layer else seen for index in layers])


@each
@attention
def test_keeping_every_token_gives_the_answer_of_the_reference(family: str, attention: str) -> None:
    model, prompt = loaded(family, attention), dense(family, attention)
    reference = ReferenceEngine(model.model)
    with recorded_logits(model) as rows:
        read = reference.prefill(prompt, m=None)
        want = list(reference.decode(read, max_new_tokens=NEW, stop_ids=()))

    for keep in (len(prompt.visual), len(prompt.visual) + 100):
        ids, logits, _ = greedy(family, attention, keep)
        assert ids == want
        assert_close(logits, torch.stack(rows))


@each
@attention
@pytest.mark.parametrize("layer", [1, 2])
def test_dropping_equals_hiding_the_tokens_from_the_later_layers(
    family: str, attention: str, layer: int
) -> None:
    prompt = dense(family, attention)
    keep = len(prompt.visual) // 4
    gone = dropped(family, keep, layer)

    ids, logits, read = greedy(family, attention, keep, layer)

    assert len(gone) == len(prompt.visual) - keep > 0
    assert_close(logits, explicit_logits(family, attention, ids, gone, layer))
    # The check can fail: without the drop, or with other tokens dropped, the reference is far away.
    assert_far(logits, explicit_logits(family, attention, ids, [], layer))
    kept = [place for place in prompt.visual.tolist() if place not in gone]
    assert_far(logits, explicit_logits(family, attention, ids, kept, layer))
    length, layers = len(prompt) + NEW - 1, len(read.cache.layers)
    assert read.cache.lengths == [length - len(gone) * (index >= layer) for index in range(layers)]
    assert all(read.cache.get_seq_length(index) == length for index in range(layers))
    assert read.similarities == (None,) * layers
    assert read.discarded == frozenset()


def test_no_visual_token_at_all_may_be_left() -> None:
    ids, logits, _ = greedy("tiny", "sdpa", 0)

    assert_close(logits, explicit_logits("tiny", "sdpa", ids, dense("tiny").visual.tolist(), 2))


def test_a_prompt_without_video_is_read_as_it_is() -> None:
    model, prompt = loaded("tiny").model, dense("tiny")
    text = prompt.tail(int(prompt.visual.max()) + 1)

    read = FastVEngine(model, keep=5).prefill(text, m=None)

    assert read.cache.lengths == [len(text)] * len(read.cache.layers)


def test_equal_scores_go_to_the_lower_index() -> None:
    model, prompt = loaded("tiny").model, dense("tiny")
    layers, turns = model.get_decoder().layers, []
    hooks = [
        layers[1].self_attn.register_forward_hook(
            lambda _attention, _args, output: (output[0], torch.ones_like(output[1]))
        )
    ]
    for layer in layers[1:3]:
        hooks.append(
            layer.self_attn.register_forward_pre_hook(
                lambda _attention, _args, kwargs: turns.append(kwargs["position_embeddings"]),
                with_kwargs=True,
            )
        )
    try:
        FastVEngine(model, keep=5).prefill(prompt, m=None)
    finally:
        for hook in hooks:
            hook.remove()

    gone = set(prompt.visual[5:].tolist())
    stays = [place for place in range(len(prompt)) if place not in gone]
    for whole, left in zip(*turns, strict=True):
        assert torch.equal(left, whole[:, stays])


def test_the_prompt_stays_as_it_is() -> None:
    prompt = dense("tiny")
    before = prompt.embeds.clone(), prompt.position_ids.clone()

    greedy("tiny", "sdpa", 3)

    assert torch.equal(prompt.embeds, before[0])
    assert torch.equal(prompt.position_ids, before[1])


def state(model: LoadedModel) -> tuple[int, object]:
    return hook_count(model), model.model.get_decoder().config._attn_implementation


@attention
def test_hooks_and_attention_are_restored_after_success_and_after_an_error(
    attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, prompt = loaded("tiny", attention), dense("tiny", attention)
    before = state(model)
    assert before[1] == attention

    FastVEngine(model.model, keep=4).prefill(prompt, m=None)
    assert state(model) == before

    monkeypatch.setattr(model.model.get_decoder().layers[3].mlp, "forward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        FastVEngine(model.model, keep=4).prefill(prompt, m=None)
    assert state(model) == before


def test_what_fastv_cannot_do_is_said_in_words() -> None:
    model, prompt = loaded("tiny").model, dense("tiny")
    engine = FastVEngine(model, keep=4)

    with pytest.raises(UsageError, match="Memory SharpV"):
        engine.prefill(prompt, m=0.2)
    with pytest.raises(UsageError, match="several questions"):
        engine.read_prefix(prompt, 10, m=None)
    prefix = ReferenceEngine(model).read_prefix(prompt, int(prompt.visual.max()) + 1, m=None)
    with pytest.raises(UsageError, match="several questions"):
        engine.read_on(prefix, prompt)
    for layer in (0, engine.layers):
        with pytest.raises(UsageError, match=f"after layer {layer} of {engine.layers}"):
            FastVEngine(model, keep=4, layer=layer)


def test_a_model_with_deepstack_is_refused() -> None:
    model = loaded(DEEPSTACK)
    before = state(model)

    with pytest.raises(UsageError, match="DeepStack"):
        FastVEngine(model.model, keep=4).prefill(dense(DEEPSTACK), m=None)
    assert state(model) == before
