"""What the report of a profile shows, in words and numbers, before any layout: every format shares it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median, median_low

from sharpv_cli.report import figures
from sharpv_cli.report.figures import Fact
from sharpv_cli.report.sizes import (
    format_bytes,
    format_count,
    format_percent,
    format_ratio,
    format_seconds,
    format_span,
    printable,
)
from sharpv_cli.types import ClipProfile, LayerReport, MethodProfile, SweepPoint, Timings

# Stages in the order in which they happen, and the figures they add up to: (name in the report, key).
TIMES = (
    ("decode", "decode_sec"),
    ("preprocess", "preprocess_sec"),
    ("vision", "vision_sec"),
    ("scoring", "prune_sec"),
    ("prefill", "prefill_sec"),
    ("TTFT", "ttft_sec"),
    ("TPOT", "tpot_sec"),
    ("end to end", "end_to_end_sec"),
)
PARTS = ("decode", "preprocess", "vision", "scoring", "prefill", "generation")
NOT_MEASURED = "-"
_ONCE = {"decode_sec"}  # measured once for all runs: no spread
_OWN = {"decode_sec", "prune_sec"}  # the same for all, or nothing in dense: no ratio


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle and the ends of one figure over the timed runs."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        return cls(median(values), min(values), max(values)) if values else None


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of one method: its value, the range of its runs and its ratio to dense, "" where there is none."""

    value: str
    span: str = ""
    ratio: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of all methods, in their order."""

    label: str
    cells: tuple[Cell, ...]


def seconds(run: Timings, key: str) -> float | None:
    """A time of one run. `end_to_end_sec` is from the opened video to the last token, model loaded."""
    value = run.decode_sec + run.total_sec if key == "end_to_end_sec" else getattr(run, key)
    assert value is None or isinstance(value, float | int), key
    return value if value is not None and math.isfinite(value) else None


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
    return None if dense is None else ratio(_median(method, key), _median(dense, key))


def _median(method: MethodProfile, key: str) -> float | None:
    time = spread(method, key)
    return None if time is None else time.median


def agrees(profile: ClipProfile, method: MethodProfile) -> bool | None:
    """Whether the natural answer is dense's, character by character; None without dense."""
    dense = dense_of(profile)
    return None if dense is None else method.answer.text == dense.answer.text


def matmul_share(profile: ClipProfile, method: MethodProfile) -> float | None:
    """FLOP/s of the prefill over those of the device's own large matmul."""
    time = spread(method, "prefill_sec")
    if profile.rates is None or time is None or not time.median:
        return None
    return method.cost.prefill_flops / time.median / profile.rates.matmul_flops_per_sec


def copy_share(profile: ClipProfile, method: MethodProfile) -> float | None:
    """Bytes a second that a decode step must read over those that the device's own large copy moves."""
    time = spread(method, "tpot_sec")
    if profile.rates is None or time is None or not time.median:
        return None
    return step_bytes(method) / time.median / profile.rates.copy_bytes_per_sec


def step_bytes(method: MethodProfile) -> int:
    """Bytes that a decode step must read."""
    return method.cost.decode_weight_bytes + method.cost.decode_kv_bytes


def parts(method: MethodProfile) -> tuple[float, ...] | None:
    """Seconds by PARTS of the run whose total is the (lower) median, so that they sum to a total that happened.

    Generation is what the prefill leaves. None without a timed run.
    """
    if not method.runs:
        return None
    middle = median_low(run.total_sec for run in method.runs)
    run = next(run for run in method.runs if run.total_sec == middle)
    stages = (run.preprocess_sec, run.vision_sec, run.prune_sec, run.prefill_sec)
    return (run.decode_sec, *stages, max(run.total_sec - sum(stages), 0.0))


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


def heading_facts(profile: ClipProfile) -> Iterator[Fact]:
    """What was measured. The values are foreign text."""
    if profile.methods:
        answer = profile.methods[0].answer
        yield Fact("video", answer.video.path)
        yield Fact("frames", f"{len(answer.sample)}")
        yield Fact("visual tokens", f"{answer.visual_total} in all")
    yield Fact("question", profile.question)
    yield Fact("timed runs", _runs_text(profile))
    yield Fact("new tokens", f"{profile.new_tokens} a run")
    yield Fact("warm-up", f"{profile.warmup} {'round' if profile.warmup == 1 else 'rounds'}")
    if profile.interrupted:
        yield Fact("interrupted", "what was done is here")


def _runs_text(profile: ClipProfile) -> str:
    counts = sorted({len(method.runs) for method in profile.methods} or {0})
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return number if len(profile.methods) == 1 else f"{number} each, interleaved"


def groups(profile: ClipProfile, dash: str) -> tuple[tuple[Row, ...], ...]:
    """The rows of the table of methods in groups: tokens, time, memory and work. `dash` stands in ranges."""
    return _token_rows(profile), _time_rows(profile, dash), _memory_rows(profile), _work_rows(profile)


def _token_rows(profile: ClipProfile) -> tuple[Row, ...]:
    answers = [method.answer for method in profile.methods]
    return (
        Row("visual tokens", tuple(Cell(str(answer.visual_kept)) for answer in answers)),
        Row("visual retention", tuple(Cell(format_percent(answer.visual_retention)) for answer in answers)),
        Row("KV retention", tuple(Cell(format_percent(answer.memory.kv_retention)) for answer in answers)),
    )


def _time_rows(profile: ClipProfile, dash: str) -> tuple[Row, ...]:
    return tuple(
        Row(label, tuple(_time_cell(profile, method, key, dash) for method in profile.methods))
        for label, key in TIMES
    )


def _time_cell(profile: ClipProfile, method: MethodProfile, key: str, dash: str) -> Cell:
    time = spread(method, key)
    if time is None:
        return Cell(NOT_MEASURED)
    if key in _ONCE:
        return Cell(format_seconds(time.median))
    span = format_span(time.low, time.high, time.median, dash)
    compared = None if key in _OWN else time_ratio(profile, method, key)
    return Cell(format_seconds(time.median), span, _ratio_text(method, compared))


def _memory_rows(profile: ClipProfile) -> tuple[Row, ...]:
    rows = [_counted("KV bytes", profile, lambda method: method.answer.memory.kv_bytes, format_bytes)]
    if not _process_peak(profile):
        peak = _counted("peak memory", profile, lambda method: method.answer.memory.peak_bytes, format_bytes)
        rows.append(peak)
    return tuple(rows)


def _work_rows(profile: ClipProfile) -> tuple[Row, ...]:
    work = (
        _counted("prefill FLOPs", profile, lambda method: method.cost.prefill_flops, format_count),
        _counted("FLOPs a token", profile, lambda method: method.cost.decode_flops_per_token, format_count),
        _counted("bytes a token", profile, step_bytes, format_bytes),
    )
    if profile.rates is None:
        return work
    return (
        *work,
        _shares("matmul rate", profile, matmul_share),
        _shares("copy bandwidth", profile, copy_share),
    )


def _counted(
    label: str,
    profile: ClipProfile,
    figure: Callable[[MethodProfile], int],
    text: Callable[[int], str],
) -> Row:
    dense = dense_of(profile)
    base = None if dense is None else figure(dense)
    cells = (
        Cell(text(figure(method)), ratio=_ratio_text(method, ratio(figure(method), base)))
        for method in profile.methods
    )
    return Row(label, tuple(cells))


def _shares(
    label: str, profile: ClipProfile, share: Callable[[ClipProfile, MethodProfile], float | None]
) -> Row:
    values = (share(profile, method) for method in profile.methods)
    return Row(label, tuple(Cell(NOT_MEASURED if v is None else format_percent(v)) for v in values))


def _ratio_text(method: MethodProfile, value: float | None) -> str:
    """Dense over itself says nothing."""
    return "" if value is None or method.method == "dense" else format_ratio(value)


def _process_peak(profile: ClipProfile) -> bool:
    """Whether the peak is the process's, which only ever rises: it then belongs to no method."""
    return any(method.answer.model.device == "cpu" for method in profile.methods)


def caption(profile: ClipProfile, dash: str) -> str:
    """How to read the table of methods."""
    sentences = [f"times: median and min{dash}max of the timed runs"]
    if dense_of(profile) is not None:
        sentences.append("x: ratio to dense")
    sentences.append("FLOPs and bytes: of the language model, by formula")
    if profile.rates is not None:
        sentences.append(
            "matmul rate of the prefill and copy bandwidth of a decode step: share of what the device reaches"
        )
    return "; ".join(sentences)


def similarity_text(layer: LayerReport) -> str:
    return NOT_MEASURED if layer.similarity is None else f"{layer.similarity:.2f}"


def verdict(layer: LayerReport) -> str:
    return "kept" if layer.visual_kv_kept else "discarded"


def answer_facts(profile: ClipProfile) -> Iterator[Fact]:
    """The natural answer of each method, or that it is dense's. The values are foreign text."""
    for method in profile.methods:
        same, text = agrees(profile, method), method.answer.text.strip() or "(empty)"
        if method.method == "dense" or same is None:
            yield Fact(method.method, text)
        else:
            yield Fact(method.method, "same as dense" if same else f"differs: {text}")


def machine_facts(profile: ClipProfile) -> Iterator[Fact]:
    """The model, where it ran and what that reaches. The values are foreign text."""
    if not profile.methods:
        return
    answer = profile.methods[0].answer
    yield from figures.model_facts(answer)
    yield Fact("model load", format_seconds(answer.timing.load_sec))
    yield Fact("weights", format_bytes(answer.memory.weights_bytes))
    if _process_peak(profile):
        peak = max(method.answer.memory.peak_bytes for method in _all_methods(profile))
        yield Fact("peak memory", f"{format_bytes(peak)} (process)")
    if profile.rates is not None:
        yield Fact("device copy", f"{format_count(profile.rates.copy_bytes_per_sec)}B/s")
        yield Fact("device matmul", f"{format_count(profile.rates.matmul_flops_per_sec)}FLOP/s")


def _all_methods(profile: ClipProfile) -> tuple[MethodProfile, ...]:
    return (*profile.methods, *(point.profile for point in profile.sweep))


SWEEP_HEAD = ("visual tokens", "visual retention", "KV retention", "TTFT", "TPOT", "KV bytes", "answer")


def sweeps(profile: ClipProfile) -> Iterator[tuple[str, tuple[SweepPoint, ...]]]:
    """The swept keys, each with its points."""
    for key, points in groupby(profile.sweep, key=lambda point: point.key):
        yield key, tuple(points)


def sweep_title(key: str) -> str:
    """A threshold k means something in manual mode only, so that is how it is swept."""
    return "sweep of k (manual mode)" if key == "k" else f"sweep of {key}"


def sweep_cells(point: SweepPoint) -> tuple[str, ...]:
    """The figures of one swept value, in the order of SWEEP_HEAD."""
    answer = point.profile.answer
    return (
        f"{answer.visual_kept}/{answer.visual_total}",
        format_percent(answer.visual_retention),
        format_percent(answer.memory.kv_retention),
        _median_text(point.profile, "ttft_sec"),
        _median_text(point.profile, "tpot_sec"),
        format_bytes(answer.memory.kv_bytes),
        printable(answer.text.strip()) or "(empty)",
    )


def _median_text(method: MethodProfile, key: str) -> str:
    time = _median(method, key)
    return NOT_MEASURED if time is None else format_seconds(time)
