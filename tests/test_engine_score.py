"""How likely given answers are: as one stock pass over prompt and answer has it, and as decoding would come to it."""

from __future__ import annotations

import math

import pytest
import torch
from family_prompts import captured, selected, some_layers
from tiny_families import LAYERS, RECIPES, inputs, loaded

from sharpv_cli.engine.engine import Continuation, Engine
from sharpv_cli.engine.factory import make_engine
from sharpv_cli.models.capture import Prompt
from sharpv_cli.models.loading import LoadedModel

each = pytest.mark.parametrize("family", RECIPES)
engines = pytest.mark.parametrize("engine", ["reference", "fast"])
ANSWERS = [
    Continuation((40, 41, 42)),
    Continuation((40, 41, 43, 44)),
    Continuation((50,)),
    Continuation((40,), ends=True),
    Continuation((60, 61), ends=True),
]


def engine_of(family: str, name: str) -> Engine:
    return make_engine(loaded(family), name)  # type: ignore[arg-type]


def everything(family: str) -> Prompt:
    whole = captured(family)
    return whole.prune(torch.ones_like(whole.slots, dtype=torch.bool))


@torch.no_grad()
def by_stock(model: LoadedModel, answer: Continuation) -> list[float]:
    """One pass of the stock model, pixels and all, over the prompt with the answer behind it."""
    given = inputs(model)
    length = given["input_ids"].shape[1]
    behind = torch.tensor([answer.ids])
    for name, value in given.items():
        if value.shape[:2] == (1, length):
            more = behind if name == "input_ids" else value[:, -1:].expand(-1, len(answer.ids))
            given[name] = torch.cat([value, more], dim=1)
    odds = torch.log_softmax(model.model(**given).logits[0, length - 1 :].double(), dim=-1)
    taken = [float(odds[place, id]) for place, id in enumerate(answer.ids)]
    if answer.ends:
        taken.append(math.log(sum(math.exp(odds[len(answer.ids), id]) for id in model.stop_ids)))
    return taken


@each
@engines
def test_probabilities_are_those_of_one_stock_pass(family: str, engine: str) -> None:
    model = loaded(family)
    of = engine_of(family, engine)

    got = of.score(of.prefill(everything(family), m=None), ANSWERS, model.stop_ids)

    for answer, values in zip(ANSWERS, got, strict=True):
        want = by_stock(model, answer)
        assert [math.exp(v) for v in values] == pytest.approx([math.exp(v) for v in want], abs=1e-5)
        assert values == pytest.approx(want, abs=1e-5 * max(map(abs, want)))
        assert math.exp(sum(values)) == pytest.approx(math.exp(sum(want)), abs=1e-5)


@each
def test_engines_agree_where_layers_have_discarded(family: str) -> None:
    """Behind the first token those layers do not see what is gone."""
    whole = captured(family)
    prompt = whole.prune(selected(whole, "adaptive"))
    m = some_layers(family, "sdpa", prompt)
    of, other = engine_of(family, "fast"), engine_of(family, "reference")
    start = of.prefill(prompt, m=m)
    assert 0 < len(start.discarded) < LAYERS

    got = of.score(start, ANSWERS, loaded(family).stop_ids)

    want = other.score(other.prefill(prompt, m=m), ANSWERS, loaded(family).stop_ids)
    dense = other.score(other.prefill(prompt, m=None), ANSWERS, loaded(family).stop_ids)
    for one, same, without in zip(got, want, dense, strict=True):
        assert one == pytest.approx(same, abs=1e-4)
        assert one[0] == pytest.approx(without[0], abs=1e-4)
    assert got[0][1:] != pytest.approx(dense[0][1:], abs=1e-3)


@engines
def test_a_decoded_answer_is_scored_as_it_was_decoded(engine: str) -> None:
    """And scoring leaves the prompt as it was: the same answer comes behind it."""
    family = "llava_onevision"
    whole = captured(family)
    prompt = whole.prune(selected(whole, "adaptive"))
    m = some_layers(family, "sdpa", prompt)
    of = engine_of(family, engine)
    logprobs: list[torch.Tensor] = []
    ids = list(of.decode(of.prefill(prompt, m=m), max_new_tokens=5, stop_ids=(), logprobs=logprobs))
    start = of.prefill(prompt, m=m)

    (got,) = of.score(start, [Continuation(tuple(ids))])

    assert got == pytest.approx(torch.cat(logprobs).tolist(), abs=1e-4)
    assert list(of.decode(start, max_new_tokens=5, stop_ids=())) == ids


def test_what_answers_begin_with_alike_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    of = engine_of("llava_onevision", "fast")
    passes: list[list[int]] = []
    behind = of._behind
    monkeypatch.setattr(
        of, "_behind", lambda start, ids: (passes.append(ids[0].tolist()), behind(start, ids))[1]
    )
    start = of.prefill(everything("llava_onevision"), m=None)

    of.score(start, ANSWERS, loaded("llava_onevision").stop_ids)
    assert passes == [[40, 41, 43], [60, 61]]

    of.score(start, [Continuation((7,)), Continuation((8,))])
    assert len(passes) == 2
