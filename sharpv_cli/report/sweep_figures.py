"""What the report shows of swept values, before any layout: a row a value, and memory against frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sharpv_cli.report import profile_numbers as numbers
from sharpv_cli.report.figures import Fact
from sharpv_cli.report.profile_figures import NOT_MEASURED, process_peak
from sharpv_cli.report.sizes import format_bytes, format_percent, format_seconds
from sharpv_cli.text import printable
from sharpv_cli.types import ClipProfile, MethodProfile, SweepFailure
from sharpv_cli.types.profile import method_label

NOT_RUN = "not run"
_Column = tuple[str, Callable[["SweepRow"], str]]


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One value: the settings as given and, of frames, dense; None where that was not measured."""

    value: float
    both: MethodProfile | None
    dense: MethodProfile | None
    failures: tuple[SweepFailure, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """The values of one key. `columns` are heads and the texts of their cells; the last is the answer, foreign text."""

    key: str
    rows: tuple[SweepRow, ...]
    columns: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def title(self) -> str:
        """A threshold k means something in manual mode only, so that is how it is swept."""
        return "sweep of k (manual mode)" if self.key == "k" else f"sweep of {self.key}"

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(f"{row.value:g}" for row in self.rows)

    @property
    def failures(self) -> Iterator[Fact]:
        """Each value that could not be measured, with the reason. The values are foreign text."""
        for row in self.rows:
            for failed in row.failures:
                dense = ", dense" if failed.method == "dense" else ""
                yield Fact(f"{self.key} = {row.value:g}{dense}", f"{NOT_RUN}: {failed.failure.error}")


@dataclass(frozen=True, slots=True)
class MemoryFigure:
    """Bytes against frames: `rows` are (frames, method, bytes), None where it was not measured."""

    title: str
    rows: tuple[tuple[str, str, int | None], ...]

    @property
    def largest(self) -> int:
        return max((size for *_, size in self.rows if size is not None), default=0)


def sweeps(profile: ClipProfile) -> Iterator[Sweep]:
    """The swept keys with their values, as they were given; those that could not be measured at all come last."""
    found = [(point.key, point.value) for point in profile.sweep]
    found += [(failed.key, failed.value) for failed in profile.sweep_failures]
    for key in dict.fromkeys(key for key, _ in found):
        values = dict.fromkeys(value for other, value in found if other == key)
        rows = tuple(_row(profile, key, value) for value in values)
        columns = tuple((head, tuple(map(text, rows))) for head, text in _columns(profile, key, rows))
        yield Sweep(key, rows, columns)


def memory_figures(profile: ClipProfile) -> Iterator[MemoryFigure]:
    """KV bytes against frames, and peak memory where it belongs to a method."""
    rows = next((sweep.rows for sweep in sweeps(profile) if sweep.key == "frames"), ())
    if not any(row.dense for row in rows):
        return
    yield MemoryFigure("KV bytes by frames", tuple(_memory_rows(rows, _kv_bytes)))
    if not process_peak(profile):
        yield MemoryFigure("peak memory by frames", tuple(_memory_rows(rows, _peak_bytes)))


def _row(profile: ClipProfile, key: str, value: float) -> SweepRow:
    here = {
        point.profile.method: point.profile
        for point in profile.sweep
        if (point.key, point.value) == (key, value)
    }
    failures = tuple(one for one in profile.sweep_failures if (one.key, one.value) == (key, value))
    return SweepRow(value, here.get("both"), here.get("dense"), failures)


def _columns(profile: ClipProfile, key: str, rows: Sequence[SweepRow]) -> Iterator[_Column]:
    yield "visual tokens", _of_both(lambda one: f"{one.answer.visual_kept}/{one.answer.visual_total}")
    yield "visual retention", _of_both(lambda one: format_percent(one.answer.visual_retention))
    yield "KV retention", _of_both(lambda one: format_percent(one.answer.memory.kv_retention))
    yield "TTFT", _of_both(lambda one: _median_text(one, "ttft_sec"))
    yield "TPOT", _of_both(lambda one: _median_text(one, "tpot_sec"))
    yield "KV bytes", _of_both(lambda one: format_bytes(_kv_bytes(one)))
    if key == "frames" and not process_peak(profile):
        yield "peak memory", _of_both(lambda one: format_bytes(_peak_bytes(one)))
    if any(row.dense or _failed(row, "dense") for row in rows):
        yield "dense TTFT", _of_dense(lambda one: _median_text(one, "ttft_sec"))
        yield "dense KV", _of_dense(lambda one: format_bytes(_kv_bytes(one)))
        if not process_peak(profile):
            yield "dense peak", _of_dense(lambda one: format_bytes(_peak_bytes(one)))
    yield (
        "answer",
        lambda row: NOT_RUN if row.both is None else printable(row.both.answer.text.strip()) or "(empty)",
    )


def _of_both(text: Callable[[MethodProfile], str]) -> Callable[[SweepRow], str]:
    return lambda row: NOT_MEASURED if row.both is None else text(row.both)


def _of_dense(text: Callable[[MethodProfile], str]) -> Callable[[SweepRow], str]:
    def of(row: SweepRow) -> str:
        if row.dense is None:
            return NOT_RUN if _failed(row, "dense") else NOT_MEASURED
        return text(row.dense)

    return of


def _failed(row: SweepRow, method: str) -> bool:
    return any(one.method == method for one in row.failures)


def _memory_rows(
    rows: Sequence[SweepRow], size: Callable[[MethodProfile], int]
) -> Iterator[tuple[str, str, int | None]]:
    for row in rows:
        for name, method in (("dense", row.dense), (method_label("both"), row.both)):
            yield f"{row.value:g}", name, None if method is None else size(method)


def _kv_bytes(method: MethodProfile) -> int:
    return method.answer.memory.kv_bytes


def _peak_bytes(method: MethodProfile) -> int:
    return method.answer.memory.peak_bytes


def _median_text(method: MethodProfile, key: str) -> str:
    time = numbers.middle(method, key)
    return NOT_MEASURED if time is None else format_seconds(time)
