"""The fast engine against the reference engine, stock `generate`, and explicit masks, for every family it serves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from family_prompts import captured, selected, some_layers, stock
from tiny_families import LAYERS, RECIPES
from tiny_families import loaded as load_tiny
from tiny_model import assert_close, assert_far, everything, explicit_mask_logits, hook_count, recorded_logits
from torch import nn

from sharpv_cli.engine import decoder
from sharpv_cli.engine.engine import Engine, Prefill
from sharpv_cli.engine.factory import make_engine
from sharpv_cli.engine.fast import FastEngine, why_not_fast
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.errors import ModelError
from sharpv_cli.models.capture import Prompt
from sharpv_cli.models.loading import LoadedModel

NEW = 12
each = pytest.mark.parametrize("family", RECIPES)


def loaded(family: str, attention: str = "sdpa") -> LoadedModel:
    """The one that `stock` asks too: its arguments are the same."""
    return load_tiny(family, attention)


def fast(family: str) -> FastEngine:
    engine = make_engine(loaded(family), "fast")
    assert isinstance(engine, FastEngine)
    return engine


def reference(family: str) -> ReferenceEngine:
    return ReferenceEngine(loaded(family).model)


def pruned(family: str) -> Prompt:
    whole = captured(family)
    return whole.prune(selected(whole, "adaptive"))


def answered(engine: Engine, start: Prefill, new: int = NEW, **how: Any) -> tuple[list[int], torch.Tensor]:
    """Token ids, and the logits [new, vocabulary] that they came from."""
    rows = [start.logits[0]]
    hook = engine.model.get_output_embeddings().register_forward_hook(
        lambda _head, _args, output: rows.append(output[0, -1].clone())
    )
    ids = list(engine.decode(start, max_new_tokens=new, stop_ids=(), **how))
    hook.remove()
    return ids, torch.stack(rows)


@each
def test_tokens_logits_and_decisions_are_those_of_the_reference(family: str) -> None:
    prompt = pruned(family)
    m = some_layers(family, "sdpa", prompt)

    read, want = fast(family).prefill(prompt, m=m), reference(family).prefill(prompt, m=m)

    assert read.discarded == want.discarded
    assert 0 < len(read.discarded) < LAYERS
    assert read.similarities == pytest.approx(want.similarities, abs=1e-5)
    assert read.cache.lengths == want.cache.lengths
    assert read.cache.nbytes == want.cache.nbytes
    ids, logits = answered(fast(family), read)
    want_ids, want_logits = answered(reference(family), want)
    assert ids == want_ids
    assert_close(logits, want_logits)


@each
def test_pruning_and_eviction_equal_masks_over_the_whole_prompt(family: str) -> None:
    model, whole = loaded(family), captured(family)
    keep = selected(whole, "adaptive")
    prompt, full = whole.prune(keep), whole.prune(everything(whole))
    read = fast(family).prefill(prompt, m=some_layers(family, "sdpa", prompt))

    ids, logits = answered(fast(family), read)

    gone = whole.slots[~keep]
    masks = {"hidden_from_all": gone, "blind_layers": read.discarded}
    assert_close(logits, explicit_mask_logits(model, full, ids, **masks))
    assert_far(logits, explicit_mask_logits(model, full, ids, blind_layers=read.discarded))
    assert_far(logits[1:], explicit_mask_logits(model, full, ids, hidden_from_all=gone)[1:])


@each
def test_without_pruning_it_answers_as_stock_generate_does(family: str) -> None:
    whole = captured(family)

    ids, logits = answered(fast(family), fast(family).prefill(whole.prune(everything(whole)), m=None), new=8)

    stock_ids, stock_logits = stock(family, "sdpa")
    assert ids == stock_ids
    assert_close(logits, stock_logits)


@each
@pytest.mark.parametrize("chunk", [1, 16, -1])
def test_a_prompt_read_in_pieces_is_the_same_prompt(
    family: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = pruned(family)
    m = some_layers(family, "sdpa", prompt)
    whole = fast(family).prefill(prompt, m=m)
    monkeypatch.setattr(decoder, "CHUNK_TOKENS", chunk if chunk > 0 else len(prompt) + chunk)
    monkeypatch.setattr(decoder, "_BLOCK_TOKENS", 7)

    read = fast(family).prefill(prompt, m=m)

    assert read.discarded == whole.discarded
    assert read.similarities == pytest.approx(whole.similarities, abs=1e-5)
    assert read.cache.lengths == whole.cache.lengths
    ids, logits = answered(fast(family), read)
    want_ids, want_logits = answered(fast(family), whole)
    assert ids == want_ids
    assert_close(logits, want_logits)


@each
def test_a_question_behind_a_shared_prefix_gets_the_answer_it_would_get_alone(family: str) -> None:
    prompt, engine = pruned(family), fast(family)
    m = some_layers(family, "sdpa", prompt)
    alone = answered(engine, engine.prefill(prompt, m=m))

    prefix = engine.read_prefix(prompt, int(prompt.visual.max()) + 1, m=m)
    before = prefix.cache.nbytes
    first = answered(engine, engine.read_on(prefix, prompt))
    second = answered(engine, engine.read_on(prefix, prompt, last=True))

    assert first[0] == second[0] == alone[0]
    assert_close(first[1], alone[1])
    assert torch.equal(first[1], second[1])
    assert before > 0


@each
def test_joining_matrices_holds_nothing_twice_and_leaves_the_stock_model_as_it_was(family: str) -> None:
    model = loaded(family).model
    fast(family)
    layers = model.get_decoder().layers
    for layer in layers:
        attention, mlp = layer.self_attn, layer.mlp
        for joined in ((attention.q_proj, attention.k_proj, attention.v_proj), (mlp.gate_proj, mlp.up_proj)):
            assert len({linear.weight.untyped_storage().data_ptr() for linear in joined}) == 1
            whole = joined[0].weight.untyped_storage().nbytes()
            assert whole == sum(linear.weight.nbytes for linear in joined)

    stock_ids, stock_logits = stock(family, "sdpa")
    whole = captured(family)
    with recorded_logits(loaded(family)) as rows:
        read = reference(family).prefill(whole.prune(everything(whole)), m=None)
        ids = list(reference(family).decode(read, max_new_tokens=8, stop_ids=()))
    assert ids == stock_ids
    if family != "video_llama_3":  # stock projects the whole prompt there: another kernel
        assert torch.equal(torch.stack(rows), stock_logits)


FAMILY = "llava_onevision"


def start(m: float | None = None) -> Prefill:
    return fast(FAMILY).prefill(pruned(FAMILY), m=m)


def test_sampling_with_a_seed_is_that_of_the_reference() -> None:
    how = {"temperature": 1.5, "seed": 7}

    ids, _ = answered(fast(FAMILY), start(), new=24, **how)

    assert ids == answered(reference(FAMILY), start(), new=24, **how)[0]
    assert ids != answered(fast(FAMILY), start(), new=24, temperature=1.5, seed=8)[0]


def test_the_checkpoints_repetition_penalty_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _ = answered(fast(FAMILY), start(), new=24)
    monkeypatch.setattr(loaded(FAMILY).model.generation_config, "repetition_penalty", 1.8)

    ids, _ = answered(fast(FAMILY), start(), new=24)

    assert ids == answered(reference(FAMILY), start(), new=24)[0]
    assert ids != plain


def test_a_stop_id_ends_the_answer_wherever_it_comes() -> None:
    ids, _ = answered(fast(FAMILY), start())
    firsts = [i for i, token in enumerate(ids) if token not in ids[:i]]

    for place in firsts:
        short = list(fast(FAMILY).decode(start(), max_new_tokens=NEW, stop_ids={ids[place]}))
        assert short == ids[:place]


@pytest.mark.parametrize("new", [1, 2, 3])
def test_a_short_answer_is_the_beginning_of_a_long_one(new: int) -> None:
    ids, _ = answered(fast(FAMILY), start())

    assert list(fast(FAMILY).decode(start(), max_new_tokens=new, stop_ids=())) == ids[:new]


def test_answers_may_be_decoded_in_turns_and_left_early() -> None:
    prompts = [pruned(FAMILY), captured(FAMILY).prune(everything(captured(FAMILY)))]
    engine, hooks = fast(FAMILY), hook_count(loaded(FAMILY))
    alone = [answered(engine, engine.prefill(prompt, m=0.2))[0] for prompt in prompts]

    reads = [engine.prefill(prompt, m=0.2) for prompt in prompts]
    streams = [engine.decode(read, max_new_tokens=NEW, stop_ids=()) for read in reads]
    left = engine.decode(engine.prefill(prompts[0], m=0.2), max_new_tokens=NEW, stop_ids=())
    assert list(itertools.islice(left, 3)) == alone[0][:3]
    left.close()
    in_turns = list(zip(*streams, strict=True))

    assert [list(ids) for ids in zip(*in_turns, strict=True)] == alone
    assert hook_count(loaded(FAMILY)) == hooks


def test_the_prompt_is_not_changed_by_being_read() -> None:
    prompt = pruned("qwen3_vl")
    before = prompt.embeds.clone()

    fast("qwen3_vl").prefill(prompt, m=0.2)

    assert torch.equal(prompt.embeds, before)


def test_what_it_was_made_for_is_said() -> None:
    model = loaded(FAMILY)

    assert make_engine(model, "auto").name == "fast"
    assert make_engine(model, "auto").reason == "it serves llava_onevision"
    assert make_engine(model, "reference").reason == "asked for by name"


def test_eager_attention_is_left_to_the_reference_engine() -> None:
    model = loaded(FAMILY, "eager")

    engine = make_engine(model, "auto")

    assert engine.name == "reference"
    assert engine.reason == "not the fast one: eager attention is the stock layers' own"
    with pytest.raises(ModelError, match="fast engine cannot run this model: eager") as refused:
        make_engine(model, "fast")
    assert refused.value.exit_code == 4
    assert refused.value.hint == "use --engine auto or reference"


class OtherLayer(nn.Module):
    pass


class PackedLinear(nn.Linear):
    pass


def _changes() -> Iterator[Any]:
    yield pytest.param(
        lambda d: d.layers.__setitem__(0, OtherLayer()), "layers of kind OtherLayer", id="layer"
    )
    yield pytest.param(
        lambda d: setattr(d.config, "hidden_act", "gelu"), "the activation gelu", id="activation"
    )
    rope = {"rope_type": "longrope", "rope_theta": 1e4}
    yield pytest.param(
        lambda d: setattr(d.config, "rope_parameters", rope), "rope of type longrope", id="rope"
    )
    packed = PackedLinear(4, 4)
    yield pytest.param(
        lambda d: setattr(d.layers[0].mlp, "up_proj", packed), "the weights are quantised", id="quantised"
    )
    biased = nn.Linear(4, 4)
    yield pytest.param(
        lambda d: setattr(d.layers[0].self_attn, "o_proj", biased),
        "output projections have biases",
        id="bias",
    )


@pytest.mark.parametrize(("change", "reason"), list(_changes()))
def test_what_it_does_not_serve_is_said(change: Any, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import copy

    model = replace(loaded(FAMILY), model=copy.deepcopy(loaded(FAMILY).model))
    assert why_not_fast(model) is None

    change(model.model.get_decoder())

    said = why_not_fast(model)
    assert said is not None
    assert reason in said
    assert make_engine(model, "auto").name == "reference"
