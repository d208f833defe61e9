"""What the engines of a profile say in numbers: medians, ratios to the first of them, and how far tokens agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile
from statistics import median_low

from sharpv_cli.report.profile_numbers import Spread, ratio
from sharpv_cli.types import ClipProfile, EngineProfile, EngineRun, MethodName

# (name in the report, key), in the order in which stages happen; `total_sec` is from decoded frames to the last token.
TIMES = (
    ("preprocess", "preprocess_sec"),
    ("vision", "vision_sec"),
    ("scoring", "prune_sec"),
    ("prefill", "prefill_sec"),
    ("TTFT", "ttft_sec"),
    ("TPOT", "tpot_sec"),
    ("end to end", "total_sec"),
)
PARTS = ("preprocess", "to the first token", "generation")


def by_method(profile: ClipProfile) -> list[tuple[MethodName, tuple[EngineProfile, ...]]]:
    """The engines that ran dense, and those with the settings as given."""
    methods = dict.fromkeys(engine.method for engine in profile.engines)
    return [(method, tuple(one for one in profile.engines if one.method == method)) for method in methods]


def base_of(profile: ClipProfile) -> EngineProfile | None:
    """What times are compared with: stock, or the first dense engine that could run."""
    return next((one for one in profile.engines if one.method == "dense" and one.answer is not None), None)


def token_base_of(profile: ClipProfile, engine: EngineProfile) -> EngineProfile | None:
    """What the tokens of an engine are compared with: those of the first one that was asked the same way."""
    alike = (one for one in profile.engines if one.method == engine.method and one.answer is not None)
    return next(alike, None)


def spread(engine: EngineProfile, key: str) -> Spread | None:
    """Over the timed runs; None without one, or where the engine does not tell."""
    values = (getattr(run, key) for run in engine.runs)
    return Spread.of([value for value in values if value is not None and math.isfinite(value)])


def time_ratio(profile: ClipProfile, engine: EngineProfile, key: str) -> float | None:
    """The median of `engine` over that of the base; None for the base itself."""
    base, time = base_of(profile), spread(engine, key)
    if base is None or base is engine or time is None:
        return None
    other = spread(base, key)
    return None if other is None else ratio(time.median, other.median)


def equal_tokens(profile: ClipProfile, engine: EngineProfile) -> int | None:
    """How many tokens at the beginning of the natural answer are those of the base's; None for the base itself."""
    base = token_base_of(profile, engine)
    if base is None or base is engine or base.answer is None or engine.answer is None:
        return None
    return equal_start(base.answer.tokens, engine.answer.tokens)


def equal_start(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def parts(engine: EngineProfile) -> tuple[float, ...] | None:
    """Seconds by PARTS of the run whose total is the (lower) median; None without a timed run."""
    if not engine.runs:
        return None
    usual = median_low(run.total_sec for run in engine.runs)
    run: EngineRun = next(run for run in engine.runs if run.total_sec == usual)
    return run.preprocess_sec, run.ttft_sec - run.preprocess_sec, run.total_sec - run.ttft_sec
