"""The JSON document of a profile: its keys, its schema, and figures that agree with each other."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError
from make_answer import make_profile

from sharpv_cli import __version__
from sharpv_cli.report.document import ask_document
from sharpv_cli.report.profile_document import profile_document
from sharpv_cli.text import dump
from sharpv_cli.types import ClipProfile, Failure, SweepFailure

SCHEMA = Path(__file__).parent.parent / "docs" / "schema" / "sharpv.profile.1.json"
SETTINGS = {"visual": {"mode": "adaptive", "w": 1.0}, "memory": {"enabled": True, "m": 0.2}}
KEYS = (
    "schema sharpv_version question video sampling model profile new_tokens warmup interrupted rates methods sweep "
    "sweep_failures engines"
).split()
METHOD_KEYS = (
    "tokens retention layers memory timing answer finish_reason agrees_with_dense seed warnings cost achieved "
    "floors own_cost summary runs"
).split()
SUMMARY_KEYS = (
    "decode_sec decode_wait_sec preprocess_sec vision_sec prune_sec prefill_sec ttft_sec tpot_sec end_to_end_sec"
).split()


def document_of(profile: ClipProfile) -> dict:
    return profile_document(profile, {"name": "tiny", "source": "shipped", "settings": SETTINGS})


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_every_key_in_order(validator: Draft202012Validator) -> None:
    document = document_of(make_profile(8, sweep=(("w", 0.5),)))
    assert list(document) == KEYS == validator.schema["required"]
    assert list(document["methods"]) == ["dense", "visual", "memory", "both"]
    for method in document["methods"].values():
        assert list(method) == METHOD_KEYS == validator.schema["$defs"]["method"]["required"]
        assert list(method["summary"]) == SUMMARY_KEYS
    assert list(document["sweep"][0]) == ["key", "value", "method", "sampling", *METHOD_KEYS, "dense"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rates": None},
        {"runs": 0, "interrupted": True},
        {"runs": (2, 1, 1, 1), "interrupted": True},
        {"methods": ("both",), "sweep": (("frames", 8.0), ("k", 1.6))},
        {"methods": (), "runs": (), "rates": None, "interrupted": True},
    ],
)
def test_documents_are_valid_and_come_back_whole(validator: Draft202012Validator, changes: dict) -> None:
    document = document_of(make_profile(2, **changes))
    validator.validate(document)
    assert json.loads(dump(document)) == document


@pytest.mark.parametrize(
    "path",
    [(key,) for key in KEYS]
    + [("methods", "both", key) for key in METHOD_KEYS]
    + [("methods", "both", "summary", key) for key in SUMMARY_KEYS]
    + [("methods", "dense", "memory", "kv_bytes"), ("methods", "dense", "runs", 0, "ttft_sec")]
    + [("sweep", 0, key) for key in ("key", "value", "method", "sampling", "tokens")],
)
def test_the_schema_misses_a_missing_key(
    validator: Draft202012Validator, path: tuple[str | int, ...]
) -> None:
    document = document_of(make_profile(2, sweep=(("w", 0.5),)))
    *outer, last = path
    inner: dict = document
    for key in outer:
        inner = inner[key]
    del inner[last]
    with pytest.raises(ValidationError, match=f"'{last}' is a required property"):
        validator.validate(document)


def test_the_schema_refuses_impossible_values(validator: Draft202012Validator) -> None:
    document = document_of(make_profile(2))
    for key, wrong in (("new_tokens", 0), ("interrupted", None), ("methods", []), ("rates", {})):
        assert not validator.is_valid({**document, key: wrong}), key
    document["methods"]["both"]["memory"]["kv_retention"] = 1.5
    assert not validator.is_valid(document)


def test_blocks_are_those_of_ask() -> None:
    profile = make_profile(8)
    document = document_of(profile)
    for method in profile.methods:
        asked = ask_document(method.answer, {"name": "tiny", "source": "shipped", "settings": SETTINGS})
        block = document["methods"][method.method]
        for key in ("tokens", "retention", "layers", "memory", "timing", "answer", "finish_reason", "seed"):
            assert block[key] == asked[key], key
        for key in ("video", "sampling", "model", "profile"):
            assert document[key] == asked[key], key


def test_figures_agree_with_each_other() -> None:
    document = document_of(make_profile(8, sweep=(("w", 0.5),)))
    for method in (*document["methods"].values(), *document["sweep"]):
        assert sum(layer["kv_bytes"] for layer in method["layers"]) == method["memory"]["kv_bytes"]
        assert sum(frame["kept"] for frame in method["retention"]) == method["tokens"]["visual_kept"]
        tokens = method["tokens"]
        assert tokens["visual_retention"] == tokens["visual_kept"] / tokens["visual_total"]


def test_summary_is_of_the_raw_runs() -> None:
    methods = document_of(make_profile(2, runs=4))["methods"]
    for key in SUMMARY_KEYS:
        medians = {}
        for name, method in methods.items():
            times = [
                run["decode_sec"] + run["total_sec"] if key == "end_to_end_sec" else run[key]
                for run in method["runs"]
            ]
            assert len(times) == 4
            summary, medians[name] = method["summary"][key], statistics.median(times)
            assert (summary["median"], summary["min"], summary["max"]) == (
                medians[name],
                min(times),
                max(times),
            )
            if medians["dense"]:  # nothing is waited for
                assert summary["ratio_to_dense"] == pytest.approx(medians[name] / medians["dense"])


def test_values() -> None:
    document = document_of(make_profile(8, sweep=(("w", 0.5),)))
    assert document["schema"] == "sharpv.profile/1"
    assert document["sharpv_version"] == __version__
    assert document["question"] == "Describe the video."
    assert (document["new_tokens"], document["warmup"], document["interrupted"]) == (32, 1, False)
    assert document["rates"] == {
        "copy_bytes_per_sec": 12.3e9,
        "matmul_flops_per_sec": 140e9,
        "dtype": "float32",
    }
    both = document["methods"]["both"]
    assert both["cost"]["decode_weight_bytes"] == 24_000_000
    assert both["agrees_with_dense"] is False
    assert document["methods"]["visual"]["agrees_with_dense"] is True
    # 0.36 of 9 GFLOP in 66.096 ms at 140 GFLOP/s.
    assert both["achieved"]["matmul_share"] == pytest.approx(0.36 * 9e9 / 0.066096 / 140e9, rel=1e-6)
    point = document["sweep"][0]
    assert (point["key"], point["value"], point["method"]) == ("w", 0.5, "both")
    assert point["sampling"]["frames"] == 8


def test_frames_hold_the_same_frames_dense() -> None:
    document = document_of(make_profile(8, sweep=(("w", 0.5), ("frames", 8), ("frames", 32))))
    values = [(point["key"], point["value"], point["method"]) for point in document["sweep"]]
    assert values == [("w", 0.5, "both"), ("frames", 8, "both"), ("frames", 32, "both")]
    assert document["sweep"][0]["dense"] is None
    dense = [point["dense"]["tokens"]["visual_kept"] for point in document["sweep"][1:]]
    assert dense == [8 * 196, 32 * 196]
    # Costs of SharpV's own are differences of methods that ran beside each other.
    assert document["sweep"][1]["own_cost"]["memory_share"] is None


def test_values_that_could_not_be_measured(validator: Draft202012Validator) -> None:
    failure = SweepFailure("frames", 128.0, "dense", Failure("no room", "take fewer"))
    document = document_of(make_profile(2, sweep_failures=(failure,)))
    validator.validate(document)
    assert document["sweep_failures"] == [
        {"key": "frames", "value": 128.0, "method": "dense", "error": "no room", "hint": "take fewer"}
    ]


def test_engines(validator: Draft202012Validator) -> None:
    profile = make_profile(8, engines=("stock", "reference", "fast"))
    failed = replace(profile.engines[-1], answer=None, runs=(), failure=Failure("not this model", None))
    document = document_of(replace(profile, engines=(*profile.engines[:-1], failed)))
    validator.validate(document)
    engines = document["engines"]
    assert {name: list(methods) for name, methods in engines.items()} == {
        "stock": ["dense"], "reference": ["dense", "both"], "fast": ["dense", "both"]
    }  # fmt: skip
    stock, fast = engines["stock"]["dense"], engines["fast"]["dense"]
    assert stock["tokens"] == {"generated": 6, "equal": None, "compared_with": None}
    assert fast["tokens"] == {"generated": 6, "equal": 4, "compared_with": "stock"}
    assert stock["summary"]["prefill_sec"] == dict.fromkeys(("median", "min", "max", "ratio"))
    ttft = fast["summary"]["ttft_sec"]
    assert ttft["ratio"] == pytest.approx(ttft["median"] / stock["summary"]["ttft_sec"]["median"])
    assert len(fast["runs"]) == 5
    both = engines["fast"]["both"]
    assert (both["error"], both["answer"], both["runs"]) == ("not this model", None, [])
    assert document_of(make_profile(2))["engines"] == {}


def test_floors_and_sharpvs_own_cost() -> None:
    method = document_of(make_profile(8))["methods"]["both"]
    rates, sec = document_of(make_profile(8))["rates"], method["summary"]
    for stage, key in (("vision", "vision_sec"), ("prefill", "prefill_sec")):
        least = method["cost"][f"{stage}_flops"] / rates["matmul_flops_per_sec"]
        assert method["floors"][stage] == pytest.approx(sec[key]["median"] / least)
    assert method["floors"]["decode"] == pytest.approx(1 / method["achieved"]["copy_share"])
    assert method["own_cost"]["scoring_share"] == pytest.approx(
        sec["prune_sec"]["median"] / sec["ttft_sec"]["median"]
    )
    assert document_of(make_profile(8, rates=None))["methods"]["both"]["floors"] == dict.fromkeys(
        ("vision", "prefill", "decode")
    )


def test_without_dense_nothing_is_compared() -> None:
    both = document_of(make_profile(2, methods=("both",)))["methods"]["both"]
    assert both["agrees_with_dense"] is None
    assert both["summary"]["ttft_sec"]["ratio_to_dense"] is None
    assert both["summary"]["ttft_sec"]["median"] > 0


def test_what_was_not_measured_or_is_not_finite_is_null(validator: Draft202012Validator) -> None:
    profile = make_profile(2, methods=("dense",), runs=2)
    first, second = profile.methods[0].runs
    runs = (
        replace(first, tpot_sec=None, prune_sec=math.nan),
        replace(second, tpot_sec=None, total_sec=math.inf),
    )
    document = document_of(replace(profile, methods=(replace(profile.methods[0], runs=runs),)))
    dense = json.loads(dump(document))["methods"]["dense"]
    assert dense["summary"]["tpot_sec"] == dict.fromkeys(("median", "min", "max", "ratio_to_dense"))
    assert dense["achieved"]["copy_share"] is None
    assert dense["runs"][0]["prune_sec"] is None
    assert dense["summary"]["prune_sec"]["median"] == second.prune_sec
    assert dense["summary"]["end_to_end_sec"]["max"] == first.decode_sec + first.total_sec
    validator.validate(document)
