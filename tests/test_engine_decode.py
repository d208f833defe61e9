"""Our own prefill and decode loop against stock `generate` and against explicit masks."""

from __future__ import annotations

import pytest
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
    stock_inputs,
)

from sharpv_cli.engine.cache import others
from sharpv_cli.engine.engine import Prefill
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.models.capture import Prompt

NEW = 12
PATTERNS = {
    "none": set(),
    "all": set(range(LAYERS)),
    "only the first": {0},
    "all but the first": set(range(1, LAYERS)),
    "alternating": {1, 3, 5},
}
attention = pytest.mark.parametrize("attention", ["sdpa", "eager"])


def run(
    attention: str, prompt: Prompt, discard: set[int] = frozenset(), new: int = NEW
) -> tuple[list[int], torch.Tensor, Prefill]:
    """Greedy ids, the logits [new, vocabulary] they came from, and the prefill, after discarding by hand."""
    model = loaded(attention)
    with recorded_logits(model) as rows:
        read = ReferenceEngine(model.model).prefill(prompt, m=None)
        for layer in discard:
            read.cache.layers[layer].retain(others(prompt.visual, len(prompt)))
        ids = list(ReferenceEngine(model.model).decode(read, max_new_tokens=new, stop_ids=()))
    return ids, torch.stack(rows), read


@attention
def test_without_pruning_tokens_and_logits_equal_stock_generate_bit_for_bit(attention: str) -> None:
    model = loaded(attention)
    inputs = stock_inputs(model)
    stock = model.model.generate(
        **inputs,
        max_new_tokens=24,
        do_sample=False,
        eos_token_id=None,
        return_dict_in_generate=True,
        output_logits=True,
    )
    whole = captured(attention)

    ids, logits, _ = run(attention, whole.prune(everything(whole)), new=24)

    assert ids == stock.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    assert torch.equal(logits, torch.cat(stock.logits))


@attention
@pytest.mark.parametrize("pattern", PATTERNS)
def test_layers_of_different_length_equal_explicit_masks(attention: str, pattern: str) -> None:
    whole, dropped = captured(attention), PATTERNS[pattern]
    prompt = whole.prune(some(whole))

    ids, logits, read = run(attention, prompt, dropped)

    model = loaded(attention)
    assert_close(logits, explicit_mask_logits(model, prompt, ids, blind_layers=dropped))
    full = len(prompt) + NEW - 1
    assert read.cache.lengths == [full - len(prompt.visual) * (i in dropped) for i in range(LAYERS)]
    assert all(read.cache.get_seq_length(i) == full for i in range(LAYERS))
    if dropped:  # the check can fail: a reference without the drop is far away
        assert_far(logits, explicit_mask_logits(model, prompt, ids))


@attention
def test_pruning_equals_hiding_the_pruned_tokens_of_the_whole_prompt(attention: str) -> None:
    whole = captured(attention)
    keep = some(whole)

    ids, logits, _ = run(attention, whole.prune(keep))

    model, full = loaded(attention), whole.prune(everything(whole))
    assert_close(logits, explicit_mask_logits(model, full, ids, hidden_from_all=whole.slots[~keep]))
    assert_far(logits, explicit_mask_logits(model, full, ids))


def test_contiguous_positions_are_another_answer_and_a_right_one() -> None:
    whole = captured()
    keep = some(whole)
    closed_up = whole.prune(keep, contiguous=True)

    ids, logits, _ = run("sdpa", closed_up)

    assert closed_up.position_ids[0].tolist() == list(range(len(closed_up)))
    assert_close(logits, explicit_mask_logits(loaded(), closed_up, ids))
    assert_far(logits, explicit_mask_logits(loaded(), whole.prune(keep), ids))


def test_a_stop_id_ends_the_answer_and_is_not_part_of_it() -> None:
    whole = captured()
    prompt = whole.prune(everything(whole))
    ids, _, _ = run("sdpa", prompt)
    stop = next(i for i in ids[3:] if i not in ids[:3])

    read = ReferenceEngine(loaded().model).prefill(prompt, m=None)
    short = list(ReferenceEngine(loaded().model).decode(read, max_new_tokens=NEW, stop_ids={stop}))

    assert short == ids[: ids.index(stop)]


def test_the_last_token_costs_no_pass_of_its_own() -> None:
    whole = captured()

    ids, logits, read = run("sdpa", whole.prune(everything(whole)), new=1)

    assert len(ids) == len(logits) == 1
    assert read.cache.lengths == [len(whole)] * LAYERS


def sampled(seed: int | None, temperature: float = 1.5) -> list[int]:
    whole = captured()
    read = ReferenceEngine(loaded().model).prefill(whole.prune(some(whole)), m=None)
    model = loaded().model
    return list(
        ReferenceEngine(model).decode(
            read, max_new_tokens=NEW, stop_ids=(), temperature=temperature, seed=seed
        )
    )


def test_sampling_with_a_seed_repeats_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()

    assert sampled(seed=1) == sampled(seed=1)
    assert len({tuple(sampled(seed=seed)) for seed in range(4)}) > 1
    assert torch.equal(torch.get_rng_state(), before)


def test_sampling_follows_the_softmax() -> None:
    whole = captured()
    read = ReferenceEngine(loaded().model).prefill(whole.prune(some(whole)), m=None)
    temperature = 4.0
    odds = torch.softmax(read.logits[0].double() / temperature, dim=-1)
    best = int(odds.argmax())

    hits = sum(
        next(
            ReferenceEngine(loaded().model).decode(
                read, max_new_tokens=1, stop_ids=(), temperature=temperature, seed=seed
            )
        )
        == best
        for seed in range(400)
    )

    p = float(odds[best])
    assert abs(hits / 400 - p) < 4 * (p * (1 - p) / 400) ** 0.5
    assert 0.01 < p < 0.99


def test_a_low_temperature_is_greedy() -> None:
    whole = captured()
    ids, _, _ = run("sdpa", whole.prune(some(whole)))

    assert sampled(seed=3, temperature=1e-4) == ids


def test_the_checkpoints_repetition_penalty_holds_as_in_stock_generate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, whole = loaded(), captured()
    plain, _, _ = run("sdpa", whole.prune(everything(whole)))
    monkeypatch.setattr(model.model.generation_config, "repetition_penalty", 1.8)
    inputs = stock_inputs(model)
    stock = model.model.generate(**inputs, max_new_tokens=NEW, do_sample=False, eos_token_id=None)

    ids, _, _ = run("sdpa", whole.prune(everything(whole)))

    assert ids == stock[0, inputs["input_ids"].shape[1] :].tolist()
    assert ids != plain


@attention
def test_two_answers_may_be_decoded_in_turns(attention: str) -> None:
    model, whole = loaded(attention).model, captured(attention)
    prompts = [whole.prune(some(whole, seed=seed)) for seed in (0, 1)]
    alone = [run(attention, prompt, {0, 2})[0] for prompt in prompts]

    reads = [ReferenceEngine(model).prefill(prompt, m=None) for prompt in prompts]
    for read in reads:
        for layer in (0, 2):
            read.cache.layers[layer].retain(others(read.prompt.visual, len(read.prompt)))
    streams = [ReferenceEngine(model).decode(read, max_new_tokens=NEW, stop_ids=()) for read in reads]
    in_turns = list(zip(*streams, strict=True))

    assert [list(ids) for ids in zip(*in_turns, strict=True)] == alone


def test_hooks_are_gone_after_the_end_after_a_break_and_after_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, whole = loaded(), captured()
    before = hook_count(model)
    prompt = whole.prune(some(whole))

    broken_off = ReferenceEngine(model.model).decode(
        ReferenceEngine(model.model).prefill(prompt, m=0.2), max_new_tokens=5, stop_ids=()
    )
    next(broken_off)
    assert hook_count(model) > before
    broken_off.close()
    assert hook_count(model) == before

    run("sdpa", prompt)
    assert hook_count(model) == before

    failing = ReferenceEngine(model.model).decode(
        ReferenceEngine(model.model).prefill(prompt, m=0.2), max_new_tokens=5, stop_ids=()
    )
    next(failing)
    monkeypatch.setattr(model.model.get_decoder().layers[3].mlp, "forward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(failing)
    assert hook_count(model) == before
