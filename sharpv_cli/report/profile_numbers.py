"""What a profile says in numbers: medians over runs, ratios to dense, shares of what the device reaches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, median_low

from sharpv_cli.types import ClipProfile, MethodProfile, Timings
from sharpv_cli.types.profile import method_label

# Stages in the order in which they happen, and the figures they add up to: (name in the report, key).
TIMES = (
    ("decode", "decode_sec"),
    ("waited for", "decode_wait_sec"),
    ("preprocess", "preprocess_sec"),
    ("vision", "vision_sec"),
    ("scoring", "prune_sec"),
    ("prefill", "prefill_sec"),
    ("TTFT", "ttft_sec"),
    ("TPOT", "tpot_sec"),
    ("end to end", "end_to_end_sec"),
)
_SCORING = {"visual", "both"}
_WITHOUT_MEMORY = {"memory": "dense", "both": "visual"}
PARTS = ("decode", "preprocess", "vision", "scoring", "prefill", "generation")


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle and the ends of one figure over the timed runs."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        return cls(median(values), min(values), max(values)) if values else None


def ends(time: Spread | None) -> dict[str, object]:
    """A spread as plain values; all None where nothing was measured."""
    return {
        "median": time and time.median,
        "min": time and time.low,
        "max": time and time.high,
    }


def seconds(run: Timings, key: str) -> float | None:
    """A time of one run. `end_to_end_sec` is from the opened video to the last token, model loaded."""
    value = decoded_before(run) + run.total_sec if key == "end_to_end_sec" else getattr(run, key)
    assert value is None or isinstance(value, float | int), key
    return value if value is not None and math.isfinite(value) else None


def decoded_before(run: Timings) -> float:
    """Seconds of decoding before a run began: all of it, or none where frames came while they were encoded."""
    return 0.0 if run.decode_wait_sec else run.decode_sec


def spread(method: MethodProfile, key: str) -> Spread | None:
    """Over the timed runs; None without one, or where the figure has no meaning (TPOT of one token)."""
    return Spread.of([value for run in method.runs if (value := seconds(run, key)) is not None])


def dense_of(profile: ClipProfile) -> MethodProfile | None:
    """What the other methods are compared with."""
    return next((method for method in profile.methods if method.method == "dense"), None)


def ratio(value: float | None, dense: float | None) -> float | None:
    """`value` over the same figure of dense, where both are known."""
    return value / dense if value is not None and dense else None


def time_ratio(profile: ClipProfile, method: MethodProfile, key: str) -> float | None:
    """The median of `method` over that of dense."""
    dense = dense_of(profile)
    return None if dense is None else ratio(middle(method, key), middle(dense, key))


def middle(method: MethodProfile, key: str) -> float | None:
    """The median over the timed runs."""
    time = spread(method, key)
    return None if time is None else time.median


def agrees(profile: ClipProfile, method: MethodProfile) -> bool | None:
    """Whether the natural answer is dense's, character by character; None without dense."""
    dense = dense_of(profile)
    return None if dense is None else method.answer.text == dense.answer.text


def matmul_share(profile: ClipProfile, method: MethodProfile) -> float | None:
    """FLOP/s of the prefill over those of the device's own large matmul."""
    return _share(prefill_floor(profile, method))


def copy_share(profile: ClipProfile, method: MethodProfile) -> float | None:
    """Bytes a second that a decode step must read over those that the device's own large copy moves."""
    return _share(decode_floor(profile, method))


def vision_floor(profile: ClipProfile, method: MethodProfile) -> float | None:
    """The time of encoding over what the device's own matmul would take for the vision tower's FLOPs."""
    rate = profile.rates.matmul_flops_per_sec if profile.rates else None
    return _over_floor(middle(method, "vision_sec"), method.cost.vision_flops, rate)


def prefill_floor(profile: ClipProfile, method: MethodProfile) -> float | None:
    """The time of the prefill over what the device's own matmul would take for its FLOPs."""
    rate = profile.rates.matmul_flops_per_sec if profile.rates else None
    return _over_floor(middle(method, "prefill_sec"), method.cost.prefill_flops, rate)


def decode_floor(profile: ClipProfile, method: MethodProfile) -> float | None:
    """The time of a token over what the device's own copy would take to move the bytes that a step must read."""
    rate = profile.rates.copy_bytes_per_sec if profile.rates else None
    return _over_floor(middle(method, "tpot_sec"), step_bytes(method), rate)


def _over_floor(sec: float | None, work: int, rate: float | None) -> float | None:
    return None if sec is None or not rate or not work else sec * rate / work


def _share(times: float | None) -> float | None:
    """Of what the device reaches, by how many times as long something took."""
    return 1 / times if times else None


def scoring_share(method: MethodProfile) -> float | None:
    """Visual SharpV's own cost: scoring and selection as a share of TTFT; None where nothing is scored."""
    return (
        ratio(middle(method, "prune_sec"), middle(method, "ttft_sec")) if method.method in _SCORING else None
    )


def memory_share(profile: ClipProfile, method: MethodProfile) -> float | None:
    """Memory SharpV's own cost as a share of TTFT: the prefill's median less that of the method without it.

    Noise of the machine may make it negative. None where nothing is decided, there is no such method, and for a
    value of a sweep, beside which it was not measured.
    """
    if not any(method is one for one in profile.methods):
        return None
    other = _first_of(profile, (_WITHOUT_MEMORY.get(method.method, ""),))
    with_it, ttft = middle(method, "prefill_sec"), middle(method, "ttft_sec")
    without = None if other is None else middle(other, "prefill_sec")
    return None if with_it is None or without is None else ratio(with_it - without, ttft)


def step_bytes(method: MethodProfile) -> int:
    """Bytes that a decode step must read."""
    return method.cost.decode_weight_bytes + method.cost.decode_kv_bytes


def parts(method: MethodProfile) -> tuple[float, ...] | None:
    """Seconds by PARTS of the run whose total is the (lower) median, so that they sum to a total that happened.

    Of decoding only what was waited for counts. Generation is what is left. None without a timed run.
    """
    run = _usual_run(method)
    if run is None:
        return None
    before = decoded_before(run)
    stages = (run.preprocess_sec, run.vision_sec, run.prune_sec, run.prefill_sec)
    generation = run.total_sec - run.decode_wait_sec - sum(stages)
    return (before or run.decode_wait_sec, *stages, max(generation, 0.0))


def hidden_decoding(method: MethodProfile) -> float:
    """Seconds that the same run's decoder worked behind other stages."""
    run = _usual_run(method)
    return max(0.0, run.decode_sec - run.decode_wait_sec) if run is not None and run.decode_wait_sec else 0.0


def stage_rows(profile: ClipProfile) -> list[tuple[str, tuple[float, ...]]]:
    """A row a method with its PARTS, and below it decoding that was hidden, on the same scale."""
    rows: list[tuple[str, tuple[float, ...]]] = []
    for method in profile.methods:
        if (shown := parts(method)) is not None:
            rows.append((method_label(method.method), shown))
        if hidden := hidden_decoding(method):
            rows.append(("hidden", (hidden, *[0.0] * (len(PARTS) - 1))))
    return rows


def _usual_run(method: MethodProfile) -> Timings | None:
    if not method.runs:
        return None
    usual = median_low(run.total_sec for run in method.runs)
    return next(run for run in method.runs if run.total_sec == usual)


def shown_run(profile: ClipProfile) -> str:
    """Which run `parts` shows. Of an even number none is in the middle: the table's median lies between two."""
    even = any(len(method.runs) % 2 == 0 for method in profile.methods if method.runs)
    return "lower median run" if even else "median run"


def pruned_method(profile: ClipProfile) -> MethodProfile | None:
    """The method whose frames are worth a figure: one that prunes visual tokens."""
    return _first_of(profile, ("both", "visual"))


def discarding_method(profile: ClipProfile) -> MethodProfile | None:
    """The method whose layers are worth a figure: one that measured their similarity."""
    found = _first_of(profile, ("both", "memory"))
    measured = found and any(layer.similarity is not None for layer in found.answer.layers)
    return found if measured else None


def _first_of(profile: ClipProfile, names: Sequence[str]) -> MethodProfile | None:
    by_name = {method.method: method for method in profile.methods}
    return next((by_name[name] for name in names if name in by_name), None)
