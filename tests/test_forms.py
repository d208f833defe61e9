"""Answers held to a schema or an expression: what is finished is valid, in both engines, whatever the model wants."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import torch
from family_answers import clip_of
from tiny_families import QUESTION, RECIPES, loaded

from sharpv_cli import UsageError
from sharpv_cli.benchmarks.json_answers import schema_of
from sharpv_cli.engine.guiding import GrammarGuide
from sharpv_cli.forms import form_of
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.prompts import Prompts, SharedPrompts
from sharpv_cli.pipeline.question import answer, whole_answer
from sharpv_cli.report.document import ask_document
from sharpv_cli.types import Answer, Form

SCHEMAS: list[dict[str, Any]] = [
    {"enum": ["left", "right", "straight on", None, 3]},
    {"type": "integer", "minimum": 10, "maximum": 99},
    {"type": "array", "items": {"enum": [True, False]}, "minItems": 2, "maxItems": 3},
    {
        "type": "object",
        "properties": {
            "colour": {"enum": ["rouge", "grün", "赤"]},
            "at": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "maxItems": 2},
            "what": {"type": "object", "properties": {"word": {"type": "string", "maxLength": 3}}, "required": ["word"],
                     "additionalProperties": False},
        },
        "required": ["colour", "at", "what"],
        "additionalProperties": False,
    },
    {"anyOf": [{"const": "ß日本🙂"}, {"type": "object", "patternProperties": {"^[a-c]{1,2}$": {"type": "boolean"}},
                                  "additionalProperties": False, "maxProperties": 1}]},
]  # fmt: skip
engines = pytest.mark.parametrize("engine", ["reference", "fast"])


def held(of: Clip, form: Form) -> Answer:
    return whole_answer(answer(Prompts(of), QUESTION, last=True, form=form))


def clip_for(family: str, engine: str = "auto", tokens: int = 120, **generation: Any) -> Clip:
    """Answers end by themselves, unlike those of the other tests."""
    given = clip_of(family, engine=engine, generation={"max_new_tokens": tokens, **generation})
    return Clip(given.session, given.frames, given.settings)


@engines
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: next(iter(schema)))
def test_a_finished_answer_is_valid(schema: dict[str, Any], engine: str) -> None:
    """Random weights want anything but JSON. Greedy and sampled."""
    for generation in ({}, {"temperature": 2.0, "seed": 5}):
        got = held(clip_for("llava_onevision", engine, **generation), form_of(json_schema=schema))
        assert got.finish_reason == "stop"
        assert got.value == json.loads(got.text) == ask_document(got, {})["answer_json"]
        jsonschema.validate(got.value, schema)


def test_whatever_schema_is_drawn_a_finished_answer_is_valid() -> None:
    """Fifty of them, nested, with enums, numbers, arrays, texts and Unicode; `benchmarks.json_answers` asks longer."""
    clip = clip_for("qwen2_5_vl", tokens=40, temperature=1.5, seed=1)
    prompts, finished = SharedPrompts(clip), 0
    for schema in map(schema_of, range(50)):
        got = whole_answer(answer(prompts, QUESTION, form=form_of(json_schema=schema)))
        assert got.is_complete == (got.finish_reason == "stop")
        if got.is_complete:
            jsonschema.validate(got.value, schema)
            finished += 1
        else:
            assert got.value is None
    assert finished > 20


@pytest.mark.parametrize("family", RECIPES)
def test_every_family_can_be_held(family: str) -> None:
    engines = [
        held(clip_for(family, engine), form_of(json_schema=SCHEMAS[3])) for engine in ("reference", "fast")
    ]
    assert engines[0].text == engines[1].text
    jsonschema.validate(engines[0].value, SCHEMAS[3])


@engines
def test_the_whole_answer_matches_an_expression(engine: str) -> None:
    """White space at its beginning too, which other answers are printed without, and what `--stop` would end."""
    pattern = " {2}(car|bus) [0-9]{2,3}(, ok)?"
    got = held(clip_for("llava_onevision", engine, stop="r"), form_of(regex=pattern))
    assert re.fullmatch(pattern, got.text)
    assert (got.finish_reason, got.value) == ("stop", None)


def test_what_is_cut_off_is_told() -> None:
    form = form_of(json_schema={"type": "string", "minLength": 50})
    got = held(clip_for("llava_onevision", tokens=10), form)
    assert (got.finish_reason, got.is_complete, got.generated_tokens) == ("length", False, 10)
    assert ask_document(got, {})["answer_json"] is None


def test_an_answer_that_is_complete_with_its_last_token_is_finished() -> None:
    """The end token would be one more than there may be."""
    form = form_of(json_schema={"const": "abc"})
    got = held(clip_for("llava_onevision", tokens=len('"abc"')), form)
    assert (got.text, got.finish_reason, got.value) == ('"abc"', "stop", "abc")
    assert held(clip_for("llava_onevision", tokens=4), form).finish_reason == "length"


@pytest.mark.parametrize(
    "asked",
    [
        {"min_new_tokens": 40},
        {"suppress_tokens": list(range(200))},
        {"forced_eos_token_id": 1, "max_new_tokens": 3},
        {"repetition_penalty": 5.0},
    ],
)
def test_a_checkpoints_wishes_hold_among_what_is_valid(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they would leave nothing of it, what is valid does."""
    for name, value in asked.items():
        monkeypatch.setattr(loaded("llava_onevision").model.generation_config, name, value)
    jsonschema.validate(held(clip_for("llava_onevision"), form_of(json_schema=SCHEMAS[2])).value, SCHEMAS[2])


def test_logprobs_are_the_models_own() -> None:
    """Not those among what may come, of which the last bracket would be certain."""
    got = held(clip_for("llava_onevision"), form_of(json_schema=SCHEMAS[2], logprobs=True))
    assert got.logprobs is not None
    assert len(got.logprobs) == got.generated_tokens
    assert got.logprobs[-1].text == "]"
    assert got.logprobs[-1].logprob < -0.01


def test_no_token_is_ever_without_a_way_on() -> None:
    """The mask as the engine asks for it, a token ahead of who reads: it holds behind the end as well."""
    model = loaded("llava_onevision")
    form = form_of(json_schema={"const": 1})
    assert form.grammar is not None
    guide = GrammarGuide(model, form.grammar)
    one = model.tokenizer("1", add_special_tokens=False)["input_ids"]
    assert guide.allowed().nonzero()[:, 1].tolist() == one
    guide.take(one[0])
    for _ in range(2):
        assert set(guide.allowed().nonzero()[:, 1].tolist()) == set(model.stop_ids)
        guide.take(min(model.stop_ids))
    assert guide.allowed().dtype == torch.bool


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"json_schema": '{"type": "text"}'}, "no answer can be held to the JSON schema: Invalid type: text"),
        ({"json_schema": "{"}, "the JSON schema cannot be read"),
        ({"json_schema": "[1]"}, "the JSON schema cannot be read"),
        ({"json_schema": {"type": "array", "uniqueItems": True}}, "Unimplemented keys"),
        ({"json_schema": {"not": {"type": "string"}, "x-guidance": {"lenient": True}}}, "Unimplemented keys"),
        ({"json_schema": '{"a": ' * 5000}, "the JSON schema cannot be read"),
        ({"json_schema": {"enum": []}}, "no answer can be held"),
        ({"regex": "a(b"}, "the regular expression 'a(b' cannot be used"),
        ({"regex": r"(a)\1"}, "cannot be used"),
        ({"choices": ["a"]}, "only one choice: 'a'"),
        ({"choices": ["a", " "]}, "one of the choices is empty"),
        ({"choices": ["a", "b", "a "]}, "the choice 'a' is given twice"),
        ({"choices": ["a", "b"], "regex": "a"}, "exclude each other"),
    ],
)  # fmt: skip
def test_what_no_answer_can_be_held_to_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        form_of(**given)
