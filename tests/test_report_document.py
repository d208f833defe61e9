"""The JSON document: its keys, its schema, and values that JSON has no word for."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator, ValidationError
from make_answer import make_answer

from sharpv_cli import __version__
from sharpv_cli.report.document import ask_document
from sharpv_cli.text import dump
from sharpv_cli.types import Answer, Choice, TokenLogprob

SCHEMA = Path(__file__).parent.parent / "docs" / "schema" / "sharpv.ask.1.json"
SETTINGS = {"visual": {"mode": "adaptive", "k": 1.6}, "device": "auto", "model": {"revision": None}}

# The document's keys in the design's order; beside a block, or a list of blocks, the keys of those.
KEYS = {
    "schema": "",
    "sharpv_version": "",
    "question": "",
    "answer": "",
    "answer_json": "",
    "finish_reason": "",
    "choices": "text probability probability_by_length logprob",
    "logprobs": "tokens sum mean",
    "video": "path duration_sec fps width height rotation_deg frames_total seen",
    "sampling": "strategy frames timestamps_sec",
    "subtitles": "",
    "model": "id revision family dtype device attention engine engine_reason",
    "profile": "name source settings",
    "tokens": "visual_total visual_kept visual_retention text generated",
    "retention": "frame timestamp_sec kept total ratio",
    "layers": "layer similarity visual_kv_kept kv_entries kv_bytes",
    "memory": "kv_dense_bytes kv_bytes kv_retention weights_bytes peak_bytes shared_prefix_bytes",
    "timing": (
        "load_sec decode_sec preprocess_sec vision_sec prune_sec prefill_sec ttft_sec tpot_sec total_sec "
        "decode_wait_sec"
    ),
    "seed": "",
    "warm": "",
    "warnings": "",
}


CHOSEN = {
    "choices": (Choice("red", 0.7, 0.6, -0.4), Choice("blue", 0.3, 0.4, -1.2)),
    "logprobs": (TokenLogprob(5, "red", -0.4),),
}


def document_of(answer: Answer) -> dict:
    return ask_document(answer, {"name": "tiny", "source": "shipped", "settings": SETTINGS})


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_every_key_in_order() -> None:
    document = document_of(make_answer(8, **CHOSEN))
    assert list(document) == list(KEYS)
    for key, inner in KEYS.items():
        value = document[key]
        for entry in value if isinstance(value, list) and inner else [value]:
            assert not inner or list(entry) == inner.split(), key


def test_the_schema_requires_the_same_keys(validator: Draft202012Validator) -> None:
    schema = validator.schema
    assert schema["required"] == list(KEYS)
    for key, inner in KEYS.items():
        rule = schema["properties"][key]
        rule = rule.get("items", rule)
        assert rule.get("required", []) == inner.split(), key


@pytest.mark.parametrize("frames", [1, 8, 600])
def test_documents_are_valid(validator: Draft202012Validator, frames: int) -> None:
    validator.validate(document_of(make_answer(frames)))
    validator.validate(document_of(make_answer(frames, **CHOSEN)))
    validator.validate(document_of(make_answer(frames, similarities=[None] * 3)))


@pytest.mark.parametrize("path", [(key,) for key in KEYS] + [("tokens", "text"), ("timing", "tpot_sec")])
def test_the_schema_misses_a_missing_key(validator: Draft202012Validator, path: tuple[str, ...]) -> None:
    document = document_of(make_answer(2))
    *outer, last = path
    del (document[outer[0]] if outer else document)[last]
    with pytest.raises(ValidationError, match=f"'{last}' is a required property"):
        validator.validate(document)


def test_the_schema_refuses_impossible_values(validator: Draft202012Validator) -> None:
    document = document_of(make_answer(2))
    for block, key, wrong in (
        ("tokens", "visual_retention", 1.2),
        ("memory", "kv_bytes", -1),
        ("video", "rotation_deg", 45),
        ("sampling", "strategy", "random"),
    ):
        damaged = {**document, block: {**document[block], key: wrong}}
        assert not validator.is_valid(damaged), key


def test_values() -> None:
    document = document_of(make_answer(8, warnings=("one frame is damaged",), seed=7))
    assert document["schema"] == "sharpv.ask/1"
    assert document["sharpv_version"] == __version__
    assert document["profile"] == {"name": "tiny", "source": "shipped", "settings": SETTINGS}
    assert document["sampling"]["frames"] == 8
    assert document["sampling"]["timestamps_sec"] == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5]
    assert document["tokens"] == {
        "visual_total": 1568,
        "visual_kept": 343,
        "visual_retention": 0.21875,
        "text": 60,
        "generated": 2,
    }
    assert document["retention"][1] == {
        "frame": 1,
        "timestamp_sec": 1.5,
        "kept": 24,
        "total": 196,
        "ratio": pytest.approx(0.122449, abs=1e-6),
    }
    assert document["layers"][4] == {
        "layer": 4,
        "similarity": 0.18,
        "visual_kv_kept": False,
        "kv_entries": 60,
        "kv_bytes": 61440,
    }
    assert sum(layer["kv_bytes"] for layer in document["layers"]) == document["memory"]["kv_bytes"]
    assert document["memory"]["kv_retention"] == 0.13125
    assert document["warnings"] == ["one frame is damaged"]
    assert document["seed"] == 7


def test_round_trip_with_what_was_not_measured() -> None:
    answer = make_answer(2, similarities=[None, None])
    document = document_of(replace(answer, timing=replace(answer.timing, tpot_sec=None)))
    assert document["timing"]["tpot_sec"] is None
    assert document["layers"][0]["similarity"] is None
    assert json.loads(dump(document)) == document


def test_what_is_not_finite_becomes_null(validator: Draft202012Validator) -> None:
    answer = make_answer(2, similarities=[math.nan, 0.5])
    answer = replace(answer, timing=replace(answer.timing, prune_sec=math.nan, total_sec=math.inf))
    document = ask_document(
        answer, {"name": "tiny", "source": "shipped", "settings": {"visual": {"k": -math.inf}}}
    )
    assert document["layers"][0]["similarity"] is None
    assert document["timing"]["prune_sec"] is None
    assert document["timing"]["total_sec"] is None
    assert document["profile"]["settings"] == {"visual": {"k": None}}
    validator.validate(json.loads(dump(document)))


def test_numpy_values_and_paths_become_plain() -> None:
    answer = make_answer(2, generated_tokens=np.int64(5))
    settings = {"path": Path("a") / "b", "k": np.float32(0.5), "flag": np.bool_(True), "list": (1, 2)}
    document = ask_document(answer, {"name": "tiny", "source": "shipped", "settings": settings})
    assert type(document["tokens"]["generated"]) is int
    assert document["profile"]["settings"] == {
        "path": str(Path("a") / "b"),
        "k": 0.5,
        "flag": True,
        "list": [1, 2],
    }
    assert json.loads(dump(document)) == document


def test_dump_is_one_ascii_line_unless_asked() -> None:
    document = document_of(make_answer(2, question="色?\n[red] :smile:"))
    line = dump(document)
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["question"] == "色?\n[red] :smile:"
    assert dump(document, indent=2).startswith('{\n  "schema": "sharpv.ask/1",\n')


def test_a_path_that_is_no_utf8_comes_back_whole() -> None:
    answer = make_answer(2)
    path = b"clips/\xff.mp4".decode("utf-8", "surrogateescape")
    text = dump(document_of(replace(answer, video=replace(answer.video, path=path))))
    assert json.loads(text.encode("ascii"))["video"]["path"] == path
