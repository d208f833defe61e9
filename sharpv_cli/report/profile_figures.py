"""What the report of a profile shows, in words and numbers, before any layout: every format shares it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sharpv_cli.report import figures
from sharpv_cli.report import profile_numbers as numbers
from sharpv_cli.report.figures import Fact, similarity_digits
from sharpv_cli.report.sizes import (
    format_bytes,
    format_count,
    format_floor,
    format_percent,
    format_ratio,
    format_seconds,
    format_span,
)
from sharpv_cli.types import ClipProfile, LayerReport, MethodProfile
from sharpv_cli.types.profile import method_label

NOT_MEASURED = "-"
_ONCE = {"decode_sec"}  # measured once for all runs, unless frames come while they are encoded: no spread
_OWN = {"decode_sec", "decode_wait_sec", "prune_sec"}  # the same for all, or nothing in dense: no ratio


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
    """The rows of the table of methods: tokens, time, memory, work, SharpV's own cost. `dash` stands in ranges."""
    found = (
        _token_rows(profile),
        _time_rows(profile, dash),
        _memory_rows(profile),
        _work_rows(profile),
        _own_cost_rows(profile),
    )
    return tuple(rows for rows in found if rows)


def _token_rows(profile: ClipProfile) -> tuple[Row, ...]:
    answers = [method.answer for method in profile.methods]
    return (
        Row("visual tokens", tuple(Cell(str(answer.visual_kept)) for answer in answers)),
        Row("visual retention", tuple(Cell(format_percent(answer.visual_retention)) for answer in answers)),
        Row("KV retention", tuple(Cell(format_percent(answer.memory.kv_retention)) for answer in answers)),
    )


def _time_rows(profile: ClipProfile, dash: str) -> tuple[Row, ...]:
    waited = any(run.decode_wait_sec for method in profile.methods for run in method.runs)
    return tuple(
        Row(label, tuple(_time_cell(profile, method, key, dash) for method in profile.methods))
        for label, key in numbers.TIMES
        if waited or key != "decode_wait_sec"
    )


def _time_cell(profile: ClipProfile, method: MethodProfile, key: str, dash: str) -> Cell:
    time = numbers.spread(method, key)
    if time is None:
        return Cell(NOT_MEASURED)
    if key in _ONCE and time.low == time.high:
        return Cell(format_seconds(time.median))
    span = format_span(time.low, time.high, time.median, dash)
    compared = None if key in _OWN else numbers.time_ratio(profile, method, key)
    return Cell(format_seconds(time.median), span, _ratio_text(method, compared))


def _memory_rows(profile: ClipProfile) -> tuple[Row, ...]:
    rows = [_counted("KV bytes", profile, lambda method: method.answer.memory.kv_bytes, format_bytes)]
    if not process_peak(profile):
        peak = _counted("peak memory", profile, lambda method: method.answer.memory.peak_bytes, format_bytes)
        rows.append(peak)
    return tuple(rows)


def _work_rows(profile: ClipProfile) -> tuple[Row, ...]:
    work = (
        _counted("prefill FLOPs", profile, lambda method: method.cost.prefill_flops, format_count),
        _counted("FLOPs a token", profile, lambda method: method.cost.decode_flops_per_token, format_count),
        _counted("bytes a token", profile, numbers.step_bytes, format_bytes),
    )
    if profile.rates is None:
        return work
    return (
        *work,
        _figure("vision vs floor", profile, numbers.vision_floor, format_floor),
        _figure("prefill vs floor", profile, numbers.prefill_floor, format_floor),
        _figure("decode vs floor", profile, numbers.decode_floor, format_floor),
    )


def _own_cost_rows(profile: ClipProfile) -> tuple[Row, ...]:
    """What SharpV itself takes; no row that has no figure."""
    rows = (
        _figure("scoring cost", profile, lambda _, method: numbers.scoring_share(method), format_percent),
        _figure("memory cost", profile, numbers.memory_share, format_percent),
    )
    return tuple(row for row in rows if any(cell.value != NOT_MEASURED for cell in row.cells))


def _counted(
    label: str,
    profile: ClipProfile,
    figure: Callable[[MethodProfile], int],
    text: Callable[[int], str],
) -> Row:
    dense = numbers.dense_of(profile)
    base = None if dense is None else figure(dense)
    cells = (
        Cell(text(figure(method)), ratio=_ratio_text(method, numbers.ratio(figure(method), base)))
        for method in profile.methods
    )
    return Row(label, tuple(cells))


def _figure(
    label: str,
    profile: ClipProfile,
    figure: Callable[[ClipProfile, MethodProfile], float | None],
    text: Callable[[float], str],
) -> Row:
    values = (figure(profile, method) for method in profile.methods)
    return Row(label, tuple(Cell(NOT_MEASURED if value is None else text(value)) for value in values))


def _ratio_text(method: MethodProfile, value: float | None) -> str:
    """Dense over itself says nothing."""
    return "" if value is None or method.method == "dense" else format_ratio(value)


def process_peak(profile: ClipProfile) -> bool:
    """Whether the peak is the process's, which only ever rises: it then belongs to no method."""
    return any(method.answer.model.device == "cpu" for method in profile.methods)


def caption(profile: ClipProfile, dash: str) -> str:
    """How to read the table of methods."""
    sentences = [f"times: median and min{dash}max of the timed runs"]
    if numbers.dense_of(profile) is not None:
        sentences.append("x: ratio to dense")
    sentences.append("FLOPs and bytes: of the language model, by formula")
    if any(numbers.hidden_decoding(method) for method in profile.methods):
        sentences.append("waited for: decoding that encoding had to wait for; hidden: decoding beside it")
    if profile.rates is not None:
        sentences.append(
            "vs floor: over what the device's own matmul would take for the FLOPs of the vision tower and of the "
            "prefill, or its own copy for the bytes of a decode step"
        )
    if _own_cost_rows(profile):
        sentences.append(
            "cost: what SharpV itself takes of TTFT; memory: prefill less that without Memory SharpV"
        )
    return "; ".join(sentences)


def similarity_texts(layers: Sequence[LayerReport], m: float | None) -> tuple[str, ...]:
    digits = similarity_digits(layers, m)
    values = (layer.similarity for layer in layers)
    return tuple(NOT_MEASURED if value is None else f"{value:.{digits}f}" for value in values)


def answer_facts(profile: ClipProfile) -> Iterator[Fact]:
    """The natural answer of each method, or that it is dense's. The values are foreign text."""
    for method in profile.methods:
        same, text = numbers.agrees(profile, method), method.answer.text.strip() or "(empty)"
        if method.method == "dense" or same is None:
            yield Fact(method_label(method.method), text)
        else:
            yield Fact(method_label(method.method), "same as dense" if same else f"differs: {text}")


def machine_facts(profile: ClipProfile) -> Iterator[Fact]:
    """The model, where it ran and what that reaches. The values are foreign text."""
    if not profile.methods:
        return
    answer = profile.methods[0].answer
    yield from figures.model_facts(answer)
    yield Fact("model load", format_seconds(answer.timing.load_sec))
    yield Fact("weights", format_bytes(answer.memory.weights_bytes))
    if process_peak(profile):
        peak = max(method.answer.memory.peak_bytes for method in _all_methods(profile))
        yield Fact("peak memory", f"{format_bytes(peak)} (process)")
    if profile.rates is not None:
        yield Fact("device copy", f"{format_count(profile.rates.copy_bytes_per_sec)}B/s")
        yield Fact("device matmul", f"{format_count(profile.rates.matmul_flops_per_sec)}FLOP/s")


def _all_methods(profile: ClipProfile) -> tuple[MethodProfile, ...]:
    return (*profile.methods, *(point.profile for point in profile.sweep))
