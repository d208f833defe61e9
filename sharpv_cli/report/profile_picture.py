"""A clip's profile as one picture: what pruning does to time and memory, and where the time goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

from sharpv_cli.report import engine_figures, engine_numbers
from sharpv_cli.report import profile_numbers as numbers
from sharpv_cli.report.answer_picture import layers_part
from sharpv_cli.report.drawing import (
    ROOM,
    Draw,
    Part,
    Sheet,
    Theme,
    heading,
    label_rows,
    note,
    picture,
    rows,
    titled,
)
from sharpv_cli.report.figures import clock_of, frame_rows, model_facts
from sharpv_cli.report.pages import ThemeName
from sharpv_cli.report.profile_figures import process_peak
from sharpv_cli.report.profile_numbers import Spread
from sharpv_cli.report.sizes import format_bytes, format_ratio, format_seconds
from sharpv_cli.report.sweep_figures import NOT_RUN, MemoryFigure, memory_figures
from sharpv_cli.types import ClipProfile, MethodProfile
from sharpv_cli.types.profile import method_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEP = 0.27  # inches from one bar to the next
_TIMES = (("ttft_sec", "TTFT"), ("tpot_sec", "TPOT"), ("prefill_sec", "Prefill"), ("vision_sec", "Vision"))
_Bar = tuple[str, Spread, float | None]  # a method, its figure, and its ratio to dense


def profile_picture(
    profile: ClipProfile, document: Mapping[str, object], *, kind: str, theme: ThemeName
) -> bytes:
    """`document` is the profile's, whose digest the picture carries."""
    title = "sharpv: what pruning does to tokens, time and memory"
    return picture(list(_parts(profile)), kind, theme, title=title, documents=[document])


def _parts(profile: ClipProfile) -> Iterator[Part]:
    yield heading(_headline(profile), profile.question, _told(profile))
    if panels := list(_panels(profile)):
        yield _paired(panels)
    if stacks := numbers.stage_rows(profile):
        title = f"Time by stage ({numbers.shown_run(profile)})"
        yield titled(title, "", *_stacks(stacks, numbers.PARTS))
    if engines := engine_figures.stage_rows(profile):
        yield titled("Time by engine (median run)", "", *_stacks(engines, engine_numbers.PARTS))
    if (pruned := numbers.pruned_method(profile)) is not None:
        yield _frames(pruned)
    if (discarding := numbers.discarding_method(profile)) is not None:
        yield layers_part(discarding.answer, f" ({method_label(discarding.method)})")
    yield from map(_lengths, memory_figures(profile))
    if profile.methods:
        yield note(", ".join(f"{fact.label} {fact.value}" for fact in model_facts(profile.methods[0].answer)))


def _headline(profile: ClipProfile) -> str:
    """The times of SharpV over those of dense, where both were measured."""
    pruned, dense = numbers.pruned_method(profile), numbers.dense_of(profile)
    ttft = None if pruned is None else numbers.time_ratio(profile, pruned, "ttft_sec")
    if pruned is None or dense is None or ttft is None:
        return "What pruning does to tokens, time and memory"
    share = numbers.ratio(pruned.answer.memory.kv_bytes, dense.answer.memory.kv_bytes) or 0.0
    return (
        f"{method_label(pruned.method)}: first token after {format_ratio(ttft)} of dense's time, "
        f"with {format_ratio(share)} of its KV cache"
    )


def _told(profile: ClipProfile) -> str:
    if not profile.methods:
        return "no timed run yet"
    runs = sorted({len(method.runs) for method in profile.methods})
    counted = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    path = profile.methods[0].answer.video.path
    return f"{path}: medians of {counted} timed runs, {profile.new_tokens} new tokens each"


def _panels(profile: ClipProfile) -> Iterator[tuple[str, list[_Bar], Callable[[float], str]]]:
    for key, title in _TIMES:
        found = [(one, time) for one in profile.methods if (time := numbers.spread(one, key)) is not None]
        bars = [
            (method_label(one.method), time, numbers.time_ratio(profile, one, key)) for one, time in found
        ]
        if bars:
            yield title, bars, format_seconds
    if not profile.methods:
        return
    yield "KV cache", _sizes(profile, lambda one: one.answer.memory.kv_bytes), format_bytes_of
    if not process_peak(profile):
        yield "Peak memory", _sizes(profile, lambda one: one.answer.memory.peak_bytes), format_bytes_of


def _sizes(profile: ClipProfile, size: Callable[[MethodProfile], int]) -> list[_Bar]:
    dense = numbers.dense_of(profile)
    base = None if dense is None else size(dense)
    return [
        (method_label(one.method), Spread(size(one), size(one), size(one)), numbers.ratio(size(one), base))
        for one in profile.methods
    ]


def format_bytes_of(size: float) -> str:
    return format_bytes(round(size))


def _paired(panels: Sequence[tuple[str, list[_Bar], Callable[[float], str]]]) -> Part:
    """A panel a figure, two beside each other; a bar a method, and a line from the lowest run to the highest."""
    most = max(len(bars) for _, bars, _ in panels)
    height, width = most * _STEP, (ROOM - 0.2) / 2

    def draw(sheet: Sheet, top: float) -> None:
        for index, (title, bars, text) in enumerate(panels):
            row, column = divmod(index, 2)
            at = top + row * (height + 0.55), column * (width + 0.2)
            sheet.text(at[0] + 0.08, title, left=at[1], weight="bold")
            axes = sheet.axes(at[0] + 0.36, len(bars) * _STEP, at[1] + 0.72, width - 0.72)
            _bars(axes, bars, text, sheet.theme)

    told = "dense is grey; lines: lowest to highest run; x: ratio to dense"
    return titled("Dense against pruned", told, -(-len(panels) // 2) * (height + 0.55) - 0.1, draw)


def _bars(axes: Axes, bars: Sequence[_Bar], text: Callable[[float], str], theme: Theme) -> None:
    largest = max(spread.high for _, spread, _ in bars) or 1.0
    for row, (name, spread, ratio) in enumerate(bars):
        dense = name == "dense"
        axes.barh(row, spread.median, height=0.62, color=theme.calm if dense else theme.accent)
        axes.plot([spread.low, spread.high], [row, row], color=theme.ink, linewidth=1.6)
        told = (
            text(spread.median) if dense or ratio is None else f"{text(spread.median)}  {format_ratio(ratio)}"
        )
        axes.text(spread.high + 0.03 * largest, row, told, va="center", color=theme.ink)
    axes.set(xlim=(0, largest * 1.95), ylim=(len(bars) - 0.5, -0.5))
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    label_rows(axes, [name for name, _, _ in bars])


def _stacks(stacked: Sequence[tuple[str, tuple[float, ...]]], parts: Sequence[str]) -> tuple[float, Draw]:
    """A lying bar a row, of parts on one scale of time, and a legend."""
    longest = max(sum(seconds) for _, seconds in stacked) or 1.0
    height, draw_rows = rows([name for name, _ in stacked], partial(_stack, stacked, longest))

    def draw(sheet: Sheet, top: float) -> None:
        draw_rows(sheet, top)
        axes = sheet.axes(top + height, 0.55, 0.0, ROOM)
        for name, colour in zip(parts, sheet.theme.series, strict=False):
            axes.bar(0, 0, color=colour, label=name)
        axes.axis("off")
        axes.legend(
            ncols=len(parts),
            loc="lower left",
            handlelength=0.9,
            columnspacing=1.0,
            handletextpad=0.4,
            borderpad=0,
        )

    return height + 0.55, draw


def _stack(
    stacked: Sequence[tuple[str, tuple[float, ...]]], longest: float, axes: Axes, theme: Theme
) -> None:
    for row, (_, seconds) in enumerate(stacked):
        for part, (start, length) in enumerate(zip(accumulate(seconds, initial=0.0), seconds, strict=False)):
            axes.barh(row, length, left=start, height=0.62, color=theme.series[part], edgecolor=theme.paper)
        axes.text(
            sum(seconds) + 0.015 * longest, row, format_seconds(sum(seconds)), va="center", color=theme.ink
        )
    axes.set_xlim(0, longest * 1.17)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def _frames(method: MethodProfile) -> Part:
    clock, shown = clock_of(method.answer), frame_rows(method.answer.retention)

    def draw(sheet: Sheet, top: float) -> None:
        axes = sheet.axes(top + 0.1, 1.3, 0.75, ROOM - 0.75)
        places = range(len(shown))
        axes.bar(places, [100.0] * len(shown), color=sheet.theme.track, width=0.84)
        axes.bar(places, [100 * row.ratio for row in shown], color=sheet.theme.accent, width=0.84)
        every = -(-len(shown) // 8)
        axes.set_xticks(places[::every], labels=[clock.format(row.first_sec) for row in shown[::every]])
        axes.set(xlim=(-0.6, len(shown) - 0.4), ylim=(0, 100), yticks=(0, 50, 100), ylabel="kept, %")

    return titled(f"Visual retention by frame ({method_label(method.method)})", "", 1.75, draw)


def _lengths(figure: MemoryFigure) -> Part:
    """Bytes by frames, a bar a method; what was not measured says so."""
    largest = max(figure.largest, 1)

    def draw(axes: Axes, theme: Theme) -> None:
        for row, (_, method, size) in enumerate(figure.rows):
            axes.barh(row, size or 0, height=0.62, color=theme.calm if method == "dense" else theme.accent)
            told = NOT_RUN if size is None else format_bytes(size)
            axes.text((size or 0) + 0.015 * largest, row, told, va="center", color=theme.ink)
        axes.set_xlim(0, largest * 1.2)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)

    labels = [f"{frames} {method}" for frames, method, _ in figure.rows]
    return titled(f"{figure.title[:1].upper()}{figure.title[1:]}", "", *rows(labels, draw, step=_STEP))
