"""What a checkpoint's generation_config.json asks for: in both engines as in stock `generate`, or said by name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from family_prompts import captured
from tiny_families import RECIPES, folder, inputs, loaded
from tiny_model import everything

from sharpv_cli.engine.factory import make_engine
from sharpv_cli.errors import ModelError
from sharpv_cli.models import generation
from sharpv_cli.models.generation import check, logits_processors, options
from sharpv_cli.models.loading import LoadedModel, load
from sharpv_cli.settings import ModelSettings

NEW = 16
FAMILY = "llava_onevision"
engines = pytest.mark.parametrize("engine", ["reference", "fast"])


@contextmanager
def asking(model: LoadedModel, **asked: Any) -> Iterator[None]:
    """The model with these values in its generation config."""
    config = model.model.generation_config
    before = {name: getattr(config, name) for name in asked}
    for name, value in asked.items():
        setattr(config, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(config, name, value)


def stock(model: LoadedModel, temperature: float = 0.0) -> list[int]:
    """`generate` as anybody would call it; `options` take only away what would need another loop than ours."""
    torch.manual_seed(3)
    given = inputs(model)
    sampled = {"temperature": temperature} if temperature else {}
    ids = model.model.generate(**given, max_new_tokens=NEW, do_sample=temperature > 0, **sampled)
    new: list[int] = ids[0, given["input_ids"].shape[1] :].tolist()
    return new[: next((at for at, i in enumerate(new) if i in model.stop_ids), NEW)]


def ours(model: LoadedModel, engine: str, temperature: float = 0.0, family: str = FAMILY) -> list[int]:
    whole = captured(family)
    runner = make_engine(model, engine)  # type: ignore[arg-type]
    start = runner.prefill(whole.prune(everything(whole)), m=None)
    how: dict[str, Any] = {"temperature": temperature, "seed": 3}
    return list(runner.decode(start, max_new_tokens=NEW, stop_ids=model.stop_ids, **how))


@cache
def plain(temperature: float = 0.0) -> list[int]:
    ids = stock(loaded(FAMILY), temperature)
    assert len(ids) == NEW  # no end token comes by itself
    return ids


def asked_of(name: str) -> dict[str, Any]:
    """Settings that change the answer `plain`, made of its own tokens."""
    first, second, third = plain()[:3]
    later = plain()[NEW // 2]
    known: dict[str, dict[str, Any]] = {
        "repetition_penalty": {"repetition_penalty": 1.8},
        "encoder_repetition_penalty": {"encoder_repetition_penalty": 3.0},
        "no_repeat_ngram_size": {"no_repeat_ngram_size": 1},
        "encoder_no_repeat_ngram_size": {"encoder_no_repeat_ngram_size": 1},
        "suppress_tokens": {"suppress_tokens": [later]},
        "begin_suppress_tokens": {"begin_suppress_tokens": [first]},
        "bad_words_ids": {"bad_words_ids": [[first, second], [third]]},
        "sequence_bias": {"sequence_bias": [[[second], -50.0], [[first, third], 50.0]]},
        "forced_eos_token_id": {"forced_eos_token_id": 9, "eos_token_id": 9},
        "eos_token_id": {"eos_token_id": [later, 9]},
        "min_new_tokens": {"eos_token_id": [first], "min_new_tokens": 5},
        "min_length": {"eos_token_id": [first], "min_length": len(captured(FAMILY)) + 5},
        "exponential_decay_length_penalty": {
            "eos_token_id": 9,
            "exponential_decay_length_penalty": (4, 9.0),
        },
        "several": {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "suppress_tokens": [first]},
    }
    return known[name]


@engines
@pytest.mark.parametrize(
    "name",
    [
        *("repetition_penalty", "encoder_repetition_penalty", "no_repeat_ngram_size", "suppress_tokens"),
        *("encoder_no_repeat_ngram_size", "begin_suppress_tokens", "bad_words_ids", "sequence_bias"),
        *("forced_eos_token_id", "eos_token_id", "min_new_tokens", "min_length", "several"),
        "exponential_decay_length_penalty",
    ],
)
def test_greedy_is_as_in_stock_generate(name: str, engine: str) -> None:
    model = loaded(FAMILY)
    with asking(model, **asked_of(name)):
        ids = ours(model, engine)
        assert ids == stock(model)
    assert ids != plain()


SAMPLED = {
    "nothing": {},
    "top_k": {"top_k": 1},
    "top_k off": {"top_k": 0},
    "top_p": {"top_p": 0.3},
    "min_p": {"min_p": 0.5},
    "top_h": {"top_h": 0.3},
    "typical_p": {"typical_p": 0.3},
    "epsilon_cutoff": {"epsilon_cutoff": 0.02, "top_k": 0},
    "eta_cutoff": {"eta_cutoff": 0.5, "top_k": 0},
    "with a penalty": {"top_p": 0.8, "repetition_penalty": 1.8},
    "its own temperature": {"temperature": 0.01, "do_sample": True},
}


@engines
@pytest.mark.parametrize(
    "asked",
    [
        {"forced_bos_token_id": 9},
        {"min_length": 10_000},
        {"max_length": 1},
        {"max_new_tokens": 1},
    ],
)
def test_what_changes_nothing_in_stock_changes_nothing(asked: dict[str, Any], engine: str) -> None:
    with asking(loaded(FAMILY), **asked):
        assert ours(loaded(FAMILY), engine) == plain()


@engines
@pytest.mark.parametrize("asked", SAMPLED.values(), ids=SAMPLED)
def test_sampled_is_as_in_stock_generate(asked: dict[str, Any], engine: str) -> None:
    model = loaded(FAMILY)
    with asking(model, **asked):
        assert ours(model, engine, temperature=3.0) == stock(model, temperature=3.0)


@pytest.mark.parametrize("name", [name for name in SAMPLED if name not in ("nothing", "its own temperature")])
def test_each_of_these_changes_what_is_sampled(name: str) -> None:
    model, before = loaded(FAMILY), plain(3.0)
    with asking(model, **SAMPLED[name]):
        assert stock(model, temperature=3.0) != before


@pytest.mark.parametrize("family", RECIPES)
def test_every_family_goes_by_it(family: str) -> None:
    model = loaded(family)
    with asking(model, repetition_penalty=1.9, min_new_tokens=4, suppress_tokens=[5]):
        assert ours(model, "fast", family=family) == stock(model)


def test_greedy_unless_asked() -> None:
    with asking(loaded(FAMILY), do_sample=True, temperature=5.0, top_k=2, top_p=0.5):
        assert ours(loaded(FAMILY), "reference") == plain()


def test_what_asks_for_nothing_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what counts as nothing is nothing: stock has no processor for it either."""
    model, how = loaded(FAMILY).model, {"max_new_tokens": 4, "stop_ids": [2], "temperature": 0.0}
    ids = captured(FAMILY).input_ids
    names = generation._NO_PROCESSOR - {*generation._NOT_DONE, *generation._OURS}  # those are overruled
    given = {name: 1 for name in names if name in vars(model.generation_config)}
    with asking(loaded(FAMILY), **given):
        assert list(generation._stock_processors(model, ids, **how)) == []
        monkeypatch.delattr(generation, "_stock_processors")
        assert not logits_processors(model, ids, **how)
        with asking(loaded(FAMILY), repetition_penalty=1.5), pytest.raises(NameError):
            logits_processors(model, ids, **how)


def test_a_watermark_is_put_in() -> None:
    model = loaded(FAMILY)
    config = {"greenlist_ratio": 0.25, "bias": 9.0, "hashing_key": 15485863, "seeding_scheme": "lefthash"}
    with asking(model, watermarking_config=transformers.WatermarkingConfig(**config)):
        assert ours(model, "fast") == stock(model) != plain()


def test_what_is_not_done_is_said_by_name_and_left_out() -> None:
    model = loaded(FAMILY)
    asked = {
        "num_beams": 4,
        "penalty_alpha": 0.6,
        "guidance_scale": 1.5,
        "stop_strings": ["."],
        "max_time": 0.5,
    }
    with asking(model, **asked, num_return_sequences=1, token_healing=False):
        (said,) = check(model.model, "mine")
        assert ours(model, "fast") == ours(model, "reference") == plain()
        how = options(model.model, max_new_tokens=NEW, stop_ids=model.stop_ids, temperature=0.0)
        given = inputs(model)
        ids = model.model.generate(**given, **how)[0, given["input_ids"].shape[1] :].tolist()
    assert ids == plain()
    for name, value in asked.items():
        assert f"{name}={value!r}" in said
    assert "token_healing" not in said
    assert check(model.model, "mine") == ()


def written(tmp_path: Path, text: str) -> LoadedModel:
    """The checkpoint with this generation_config.json, from disk."""
    for file in folder(FAMILY).iterdir():
        os.link(file, tmp_path / file.name)
    (tmp_path / "generation_config.json").unlink(missing_ok=True)
    (tmp_path / "generation_config.json").write_text(text, encoding="utf-8")
    return load(ModelSettings.model_validate({"id": str(tmp_path), "attention": "sdpa"}), "cpu")


def test_from_the_file_to_the_answer(tmp_path: Path) -> None:
    text = json.dumps(
        {"no_repeat_ngram_size": 1, "sequence_bias": [[[5], -3.0]], "num_beams": 3, "pad_token_id": 0}
    )
    model = written(tmp_path, text)
    assert model.warnings[-1].startswith("the model's generation_config.json asks for num_beams=3, which")
    with asking(model, num_beams=1):
        want = stock(model)
    assert ours(model, "fast") == want != plain()


BROKEN = {
    "no JSON": "{",
    "a list": "[]",
    "a penalty below zero": '{"repetition_penalty": -1.0}',
    "text for a number": '{"no_repeat_ngram_size": "two"}',
    "no list of words": '{"bad_words_ids": [3]}',
    "a token that is none": '{"sequence_bias": [[[999999999], 1.0]]}',
    "a forced token that is none": '{"forced_bos_token_id": 999999999}',
    "a forced end that is none": '{"forced_eos_token_id": 999999999}',
    "an end that is text": '{"eos_token_id": "end", "min_new_tokens": 2}',
    "an end in a list of lists": '{"eos_token_id": [[2]]}',
    "a penalty without its parts": '{"exponential_decay_length_penalty": [1]}',
    "no tokens at all": '{"max_new_tokens": 0}',
    "several answers": '{"num_return_sequences": 3}',
    "a number beyond all": '{"repetition_penalty": 1' + "0" * 400 + "}",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_file_of_no_use_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ModelError, match=r"generation_config\.json") as caught:
        written(tmp_path, text)
    assert caught.value.hint


def test_sampling_that_cannot_be_is_told_when_it_is_asked_for() -> None:
    model = loaded(FAMILY)
    with asking(model, top_p=-3.0):
        assert ours(model, "fast") == plain()
        with pytest.raises(ModelError, match=r"generation_config\.json cannot be used: .*top_p"):
            ours(model, "fast", temperature=1.0)
