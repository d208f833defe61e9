"""How methods, sweeps and budgets are named, and what is refused: all without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from run_cli import ROOT

from sharpv_cli.commands.eval import running
from sharpv_cli.commands.eval.source import Source
from sharpv_cli.commands.preparing import read_settings
from sharpv_cli.engine.fastv import LAYER, FastVEngine
from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets import SHAPES_VARIANTS, SHAPES_WORLDS
from sharpv_cli.evaluation.datasets.loading import LAYOUTS
from sharpv_cli.evaluation.matching import Match, read_match, spread
from sharpv_cli.evaluation.methods import NAMES, PARAMETERS, read_methods, swept
from sharpv_cli.evaluation.rivals import check
from sharpv_cli.pruning.methods import METHODS
from sharpv_cli.pruning.plan import Drawn
from sharpv_cli.settings import Settings, resolve
from sharpv_cli.shapes.stress import STRESS
from sharpv_cli.tables.shard import read_shard

_NO_PLANS = ("fastv", "dense-fewer-frames")  # an engine, and frames


def settings_for(changed: Mapping[str, object]) -> Settings:
    return resolve(changed, {}).settings


def test_the_light_table_says_what_the_dataclasses_say() -> None:
    drawn = {field.name for field in fields(Drawn)}  # the question's, not the user's
    own = {name: {field.name for field in fields(method)} - drawn for name, method in METHODS.items()}
    assert {name: set(keys) for name, keys in PARAMETERS.items() if name not in _NO_PLANS} == own
    assert set(PARAMETERS["fastv"]) == {"layer"}
    assert FastVEngine.__init__.__kwdefaults__["layer"] == LAYER
    assert (*SHAPES_WORLDS, "reworded", "offtopic", *STRESS) == SHAPES_VARIANTS


def test_parts_of_sharpv_are_settings() -> None:
    dense, sharpv, visual, memory, manual = read_methods("dense,sharpv,visual,memory,manual", settings_for)
    told = [
        (m.settings.visual.mode, m.settings.memory.enabled) for m in (dense, sharpv, visual, memory, manual)
    ]
    assert told == [
        ("off", False),
        ("adaptive", True),
        ("adaptive", False),
        ("off", True),
        ("manual", True),
    ]
    assert not any(m.is_rival for m in (dense, sharpv, visual, memory, manual))


def test_keys_go_with_the_method_before_them() -> None:
    first, second, third, fourth = read_methods(
        "sharpv:w=0.5,positions=contiguous,dense,vidcom2:temperature=0.1+memory,fastv:layer=3", settings_for
    )
    assert first.label == "sharpv:w=0.5,positions=contiguous"
    assert (first.settings.visual.w, first.settings.positions) == (0.5, "contiguous")
    assert second.name == "dense"
    assert (third.name, third.parameters, third.settings.memory.enabled) == (
        "vidcom2",
        {"temperature": 0.1},
        True,
    )
    assert (fourth.parameters, fourth.settings.memory.enabled) == ({"layer": 3}, False)


def test_a_sweep_is_a_method_a_value() -> None:
    assert [(m.label, m.settings.visual.w) for m in swept("w=0,0.5", settings_for)] == [
        ("sharpv:w=0", 0.0),
        ("sharpv:w=0.5", 0.5),
    ]
    (manual,) = swept("k=1.2", settings_for)
    assert (manual.label, manual.settings.visual.mode, manual.settings.visual.k) == (
        "manual:k=1.2",
        "manual",
        1.2,
    )


@pytest.mark.parametrize(
    ("listed", "problem"),
    [
        ("dense,nonsense", "unknown method: 'nonsense'"),
        ("", "unknown method: ''"),
        ("sharpv:", "nothing follows the colon"),
        ("sharpv:w=-1", "greater than or equal to 0"),
        ("sharpv:w=x", "valid number"),
        ("sharpv:ratio=1", "no parameter of sharpv"),
        ("evs:w=1", "no parameter of evs"),
        ("fastv:layer=0", "at least 1"),
        ("fastv:layer=x", "an integer"),
        ("fastv+memory", "inside the model"),
        ("dense+memory", "other than SharpV"),
    ],
)
def test_what_cannot_be_read_is_named(listed: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        read_methods(listed, settings_for)


@pytest.mark.parametrize(
    ("listed", "positions", "problem"),
    [
        ("vidcom2:channels=2", "1d", "channels=2"),
        ("fastv:layer=4", "1d", "method fastv:layer=4: .* after layer 4 of 4"),
        ("sharpv:positions=contiguous", "mrope", "M-RoPE"),
    ],
)
def test_what_a_method_or_the_model_refuses_is_found_before_the_first_question(
    listed: str, positions: str, problem: str
) -> None:
    decoder = SimpleNamespace(layers=[None] * 4)
    model = SimpleNamespace(get_decoder=lambda: decoder, config=SimpleNamespace())
    loaded: Any = SimpleNamespace(model=model, family=SimpleNamespace(positions=positions))
    with pytest.raises(UsageError, match=problem):
        check(read_methods(listed, settings_for), loaded)


@pytest.mark.parametrize("given", ["w", "w=", "frames=8", "nonsense=1", "w=x"])
def test_a_bad_sweep_is_refused(given: str) -> None:
    with pytest.raises(UsageError):
        swept(given, settings_for)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("sharpv", Match("visual")),
        ("sharpv:visual", Match("visual")),
        ("sharpv:kv", Match("kv")),
        ("0.25", Match("ratio", 0.25)),
        ("tokens:512", Match("tokens", tokens=512)),
        ("all:0.1", Match("all", 0.1)),
    ],
)
def test_budgets(given: str, match: Match) -> None:
    assert read_match(given) == match
    assert str(match) == given.removesuffix(":visual")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "dense",
        "0",
        "1.5",
        "nan",
        "-1",
        "tokens:0",
        "tokens:1.5",
        "tokens:",
        "tokens:٣",
        "all:0",
        "all:",
        "all:x",
    ],
)
def test_a_bad_budget_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="--match"):
        read_match(given)


@pytest.mark.parametrize(
    ("counts", "total", "most", "expected"),
    [
        ([1, 1, 2], 4, 4, [1, 1, 2]),
        ([1, 1, 2], 8, 8, [2, 2, 4]),
        (
            [1, 0, 3],
            8,
            4,
            [3, 1, 4],
        ),  # the last frame is full: the rest goes on, by the largest remainder first
        ([0, 0], 3, 4, [2, 1]),
        ([5, 5], 0, 8, [0, 0]),
        ([1, 1], 8, 4, [4, 4]),
    ],
)
def test_a_total_is_spread_in_proportion(
    counts: list[int], total: int, most: int, expected: list[int]
) -> None:
    assert spread(counts, total, most) == expected


def test_every_name_is_in_the_written_help() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").partition("## sharpv eval")[2]
    assert all(name in text for name in (*NAMES, *LAYOUTS))


@pytest.mark.parametrize(("match", "kept"), [("sharpv", True), ("tokens:512", True), ("sharpv:kv", False)])
def test_another_m_leaves_what_others_answered_unless_kv_are_matched(
    match: str, kept: bool, tmp_path: Path
) -> None:
    """A results file's answers of random tokens stay; SharpV's own are asked again."""

    def digests(m: float) -> dict[str, str]:
        flags = {"m": m, "device": "cpu"}
        plan = running.read_plan(flags, None, "dense,sharpv,random-dagger", (), match, None, "exact")
        source = Source("shapes", None, tmp_path, 2, read_shard(None))
        return running.digests_of(source.read(), source, read_settings(flags, None), plan)

    one, other = digests(0.2), digests(0.3)
    assert (one["random-dagger"] == other["random-dagger"]) is kept
    assert one["sharpv"] != other["sharpv"] and one["dense"] == other["dense"]
