"""The report of `sharpv profile`: the methods beside each other, then frames, layers, time, engines and sweeps.

The figures are 1, 3, 4 and 5 of the paper (arXiv 2511.08003), for one's own clip.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sharpv_cli.report import engine_figures, engine_numbers
from sharpv_cli.report import profile_figures as figures
from sharpv_cli.report import profile_numbers as numbers
from sharpv_cli.report.chart import ACCENT, ALIGNED_WIDTH, LABEL_WIDTH, fact_lines, frame_lines
from sharpv_cli.report.figures import Fact, verdict
from sharpv_cli.report.layout import GAP, BarColumn, Column, Glyphs, cut, glyphs_for, natural_width, table
from sharpv_cli.report.profile_table import method_lines
from sharpv_cli.report.sizes import format_bytes, format_seconds
from sharpv_cli.report.stack import Stack, stack_lines
from sharpv_cli.report.sweep_figures import NOT_RUN, MemoryFigure, Sweep, memory_figures, sweeps
from sharpv_cli.text import printable
from sharpv_cli.types import ClipProfile, MethodProfile
from sharpv_cli.types.profile import method_label

MAX_WIDTH = 120  # cells
_FIGURE_WIDTH = 100  # cells; along longer bars the eye loses the row
_MIN_ANSWER = 12  # cells of an answer in a sweep's table


class ProfileChart:
    """A Rich renderable of one clip's profile, whatever part of it is there.

    It looks only at the ConsoleOptions it is given. Every line fits the width, from 20 columns on: where
    methods or swept values do not fit beside each other they follow each other.
    """

    def __init__(self, profile: ClipProfile) -> None:
        self._profile = profile

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, glyphs = min(options.max_width, MAX_WIDTH), glyphs_for(options)
        for index, section in enumerate(_sections(self._profile, console, width, glyphs)):
            yield from (*([Text()] if index else []), *section)


def _sections(profile: ClipProfile, console: Console, width: int, glyphs: Glyphs) -> Iterator[list[Text]]:
    narrow = min(width, _FIGURE_WIDTH)
    yield fact_lines(figures.heading_facts(profile), width, glyphs)
    if profile.methods:
        yield _methods(profile, width, glyphs)
        yield [_title("answers", width, glyphs), *_answers(profile, console, width, glyphs)]
    if (pruned := numbers.pruned_method(profile)) is not None:
        title = _title(f"visual retention by frame ({method_label(pruned.method)})", width, glyphs)
        yield [title, *frame_lines(pruned.answer, narrow, glyphs)]
    if (discarding := numbers.discarding_method(profile)) is not None:
        yield _layers(discarding, profile.m, narrow, glyphs)
    if stacks := _stacks(numbers.stage_rows(profile), narrow):
        title = _title(f"time by stage ({numbers.shown_run(profile)})", width, glyphs)
        yield [title, *stack_lines(stacks, numbers.PARTS, narrow, glyphs)]
    if profile.engines:
        yield from _engines(profile, console, width, glyphs)
    for sweep in sweeps(profile):
        yield _sweep(sweep, console, width, glyphs)
    for figure in memory_figures(profile):
        yield _memory(figure, narrow, glyphs)
    yield fact_lines(figures.machine_facts(profile), width, glyphs)


def _title(text: str, width: int, glyphs: Glyphs) -> Text:
    return cut(Text(text, style="bold"), width, glyphs)


def _methods(profile: ClipProfile, width: int, glyphs: Glyphs) -> list[Text]:
    names = [method_label(method.method) for method in profile.methods]
    caption = textwrap.wrap(figures.caption(profile, glyphs.dash), width)
    lines = method_lines(names, figures.groups(profile, glyphs.dash), width, glyphs)
    return [*lines, Text(), *(Text(line, style="dim") for line in caption)]


def _answers(profile: ClipProfile, console: Console, width: int, glyphs: Glyphs) -> Iterator[Text]:
    """Folded, not cut: where two answers part may be at their ends."""
    for fact in figures.answer_facts(profile):
        label = f"{fact.label:<{LABEL_WIDTH if width >= ALIGNED_WIDTH else len('visual')}}{' ' * GAP}"
        value = Text(printable(fact.value, ascii_only=glyphs.ascii_only))
        for line in value.wrap(console, width - len(label)):
            yield cut(Text.assemble((label, "dim"), line), width, glyphs)
            label = " " * len(label)


def _layers(method: MethodProfile, m: float | None, width: int, glyphs: Glyphs) -> list[Text]:
    """A line a layer: how similar its visual states still are to their embeddings, and what that decided."""
    layers = method.answer.layers
    pad = LABEL_WIDTH if width >= ALIGNED_WIDTH else 0
    mark = m if m is not None and 0 <= m <= 1 else None
    ratios = tuple(min(max(layer.similarity or 0.0, 0.0), 1.0) for layer in layers)
    columns = (
        Column("layer", tuple(f"{layer.layer}".ljust(pad) for layer in layers)),
        BarColumn("M" if mark is not None else "", ratios, rank=2, style=ACCENT, mark=mark),
        Column("similarity", figures.similarity_texts(layers, m), rank=1, right=True),
        Column("visual KV", tuple(verdict(layer) for layer in layers)),
        Column("KV bytes", tuple(format_bytes(layer.kv_bytes) for layer in layers), rank=3, right=True),
    )
    lines = table(columns, width, glyphs)
    for line, layer in zip(lines[1:], layers, strict=True):
        line.stylize("" if layer.visual_kv_kept else "dim")
    threshold = "" if m is None else f", M = {m:.2f}"
    return [_title(f"similarity by layer ({method_label(method.method)}){threshold}", width, glyphs), *lines]


def _stacks(rows: Sequence[tuple[str, tuple[float, ...]]], width: int) -> list[Stack]:
    pad = LABEL_WIDTH if width >= ALIGNED_WIDTH else 0
    return [Stack(name.ljust(pad), parts, format_seconds(sum(parts))) for name, parts in rows]


def _engines(profile: ClipProfile, console: Console, width: int, glyphs: Glyphs) -> Iterator[list[Text]]:
    """A table of the dense engines, one with the settings as given, and the time of each as a bar."""
    for shown in engine_figures.tables(profile, glyphs.dash):
        lines = method_lines(shown.names, shown.groups, width, glyphs)
        yield [_title(shown.title, width, glyphs), *lines, *_reasons(shown.failures, console, width, glyphs)]
    yield [Text(line, style="dim") for line in textwrap.wrap(engine_figures.caption(profile), width)]
    narrow = min(width, _FIGURE_WIDTH)
    if stacks := _stacks(engine_figures.stage_rows(profile), narrow):
        title = _title("time by engine (median run)", width, glyphs)
        yield [title, *stack_lines(stacks, engine_numbers.PARTS, narrow, glyphs)]


def _reasons(facts: Iterable[Fact], console: Console, width: int, glyphs: Glyphs) -> Iterator[Text]:
    """Why something was not measured, folded: the end of a reason may be what can be done about it."""
    for fact in facts:
        text = printable(f"{fact.label}: {fact.value}", ascii_only=glyphs.ascii_only)
        for line in Text(text, style="dim").wrap(console, width):
            line.rstrip()
            yield cut(line, width, glyphs)


def _sweep(sweep: Sweep, console: Console, width: int, glyphs: Glyphs) -> list[Text]:
    """A line a value, or a block a value where even a short answer does not fit; below, what could not be measured."""
    heads = [("", sweep.key), *(_two_lines(head) for head, _ in sweep.columns)]
    texts = (sweep.values, *(cells for _, cells in sweep.columns))
    columns = [
        Column(above, (below, *cells), right=index not in (0, len(heads) - 1))
        for index, ((above, below), cells) in enumerate(zip(heads, texts, strict=True))
    ]
    room = width - natural_width(columns[:-1]) - GAP
    if room >= _MIN_ANSWER:
        lines = _sweep_table(columns, room, width, glyphs)
    else:
        blocks = (_sweep_block(sweep, index, width, glyphs) for index in range(len(sweep.rows)))
        lines = [line for block in blocks for line in (*block, Text())][:-1]
    return [_title(sweep.title, width, glyphs), *lines, *_reasons(sweep.failures, console, width, glyphs)]


def _two_lines(head: str) -> tuple[str, str]:
    above, _, below = head.rpartition(" ")
    return above, below


def _sweep_table(columns: list[Column], room: int, width: int, glyphs: Glyphs) -> list[Text]:
    head, *answers = columns[-1].cells
    shown = (printable(answer, ascii_only=glyphs.ascii_only) for answer in answers)
    short = tuple(cut(Text(answer), room, glyphs).plain for answer in shown)
    lines = table([*columns[:-1], Column("", (head, *short))], width, glyphs)
    lines[1].stylize("dim")
    return lines


def _sweep_block(sweep: Sweep, index: int, width: int, glyphs: Glyphs) -> list[Text]:
    facts = [Fact(head, cells[index]) for head, cells in sweep.columns]
    name = f"{sweep.key} = {sweep.values[index]}"
    return [cut(Text(name), width, glyphs), *fact_lines(facts, width, glyphs)]


def _memory(figure: MemoryFigure, width: int, glyphs: Glyphs) -> list[Text]:
    """A bar a number of frames and method, all on one scale; none where it was not measured."""
    pad = LABEL_WIDTH if width >= ALIGNED_WIDTH else 0
    labels = [
        f"{frames:>{max(len(row[0]) for row in figure.rows)}} {name}" for frames, name, _ in figure.rows
    ]
    sizes = [size for *_, size in figure.rows]
    columns = (
        Column("frames", tuple(label.ljust(pad) for label in labels)),
        BarColumn("", tuple((size or 0) / max(figure.largest, 1) for size in sizes), rank=1, style=ACCENT),
        Column("", tuple(NOT_RUN if size is None else format_bytes(size) for size in sizes), right=True),
    )
    return [_title(figure.title, width, glyphs), *table(columns, width, glyphs)]
