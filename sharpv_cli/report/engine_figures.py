"""What the report shows of engines side by side, in words and numbers, before any layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sharpv_cli.report import engine_numbers as numbers
from sharpv_cli.report.figures import Fact
from sharpv_cli.report.profile_figures import NOT_MEASURED, Cell, Row, process_peak
from sharpv_cli.report.profile_numbers import ratio
from sharpv_cli.report.sizes import format_bytes, format_ratio, format_seconds, format_span
from sharpv_cli.types import ClipProfile, EngineAnswer, EngineProfile
from sharpv_cli.types.profile import method_label

NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class EngineTable:
    """Engines that were asked the same way: a column each, and why those without figures have none."""

    title: str
    names: tuple[str, ...]
    groups: tuple[tuple[Row, ...], ...]
    failures: tuple[Fact, ...]


def tables(profile: ClipProfile, dash: str) -> Iterator[EngineTable]:
    """Dense, then with the settings as given. `dash` stands in ranges."""
    for method, engines in numbers.by_method(profile):
        yield EngineTable(
            title="engines, dense" if method == "dense" else "engines, settings as given",
            names=tuple(engine.engine for engine in engines),
            groups=(
                _token_rows(profile, engines),
                _time_rows(profile, engines, dash),
                _memory_rows(profile, engines),
            ),
            failures=tuple(_failures(engines)),
        )


def caption(profile: ClipProfile) -> str:
    """How to read the tables of engines."""
    base = numbers.base_of(profile)
    compared = [] if base is None else [f"x: ratio to {base.engine}, dense"]
    sentences = [
        "stock: transformers' own generate on the same frames",
        *compared,
        "equal tokens: at the beginning of the natural answer, compared with the first engine beside it",
        "end to end: from decoded frames",
    ]
    return "; ".join(sentences)


def stage_rows(profile: ClipProfile) -> list[tuple[str, tuple[float, ...]]]:
    """Each engine that was timed, under a name of its own, with the PARTS of its usual run."""
    rows = []
    for engine in profile.engines:
        name = (
            engine.engine if engine.method == "dense" else f"{engine.engine}, {method_label(engine.method)}"
        )
        if (parts := numbers.parts(engine)) is not None:
            rows.append((name, parts))
    return rows


def _token_rows(profile: ClipProfile, engines: Sequence[EngineProfile]) -> tuple[Row, ...]:
    return (
        Row("tokens", tuple(Cell(_count_text(engine)) for engine in engines)),
        Row("equal tokens", tuple(Cell(_equal_text(profile, engine)) for engine in engines)),
    )


def _count_text(engine: EngineProfile) -> str:
    return NOT_RUN if engine.answer is None else f"{len(engine.answer.tokens)}"


def _equal_text(profile: ClipProfile, engine: EngineProfile) -> str:
    equal = numbers.equal_tokens(profile, engine)
    return NOT_MEASURED if equal is None else f"first {equal}"


def _time_rows(profile: ClipProfile, engines: Sequence[EngineProfile], dash: str) -> tuple[Row, ...]:
    rows = (
        Row(label, tuple(_time_cell(profile, engine, key, dash) for engine in engines))
        for label, key in numbers.TIMES
    )
    return tuple(row for row in rows if any(cell.value != NOT_MEASURED for cell in row.cells))


def _time_cell(profile: ClipProfile, engine: EngineProfile, key: str, dash: str) -> Cell:
    time = numbers.spread(engine, key)
    if time is None:
        return Cell(NOT_MEASURED)
    span = format_span(time.low, time.high, time.median, dash)
    return Cell(format_seconds(time.median), span, _ratio_text(numbers.time_ratio(profile, engine, key)))


def _memory_rows(profile: ClipProfile, engines: Sequence[EngineProfile]) -> tuple[Row, ...]:
    rows = [_bytes_row("KV bytes", profile, engines, lambda answer: answer.kv_bytes)]
    if not process_peak(profile):
        rows.append(_bytes_row("peak memory", profile, engines, lambda answer: answer.peak_bytes))
    return tuple(rows)


def _bytes_row(
    label: str, profile: ClipProfile, engines: Sequence[EngineProfile], size: Callable[[EngineAnswer], int]
) -> Row:
    base = numbers.base_of(profile)

    def cell(engine: EngineProfile) -> Cell:
        if engine.answer is None:
            return Cell(NOT_MEASURED)
        here = size(engine.answer)
        other = None if base is None or base is engine or base.answer is None else size(base.answer)
        return Cell(format_bytes(here), ratio=_ratio_text(ratio(here, other)))

    return Row(label, tuple(map(cell, engines)))


def _ratio_text(value: float | None) -> str:
    return "" if value is None else format_ratio(value)


def _failures(engines: Sequence[EngineProfile]) -> Iterator[Fact]:
    for engine in engines:
        if engine.failure is not None:
            what = NOT_RUN if engine.answer is None else "ended early"
            yield Fact(engine.engine, f"{what}: {engine.failure.error}")
