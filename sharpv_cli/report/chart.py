"""The chart under an answer: what each frame kept, what each layer stores, and what that saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sharpv_cli.report import figures
from sharpv_cli.report.figures import Fact, LayerRow
from sharpv_cli.report.layout import GAP, BarColumn, Column, Glyphs, cut, glyphs_for, table
from sharpv_cli.report.sizes import format_bytes, format_percent
from sharpv_cli.text import printable
from sharpv_cli.types import Answer, Reading

ACCENT = "cyan"
MAX_WIDTH = 100  # cells; along longer bars the eye loses the row
ALIGNED_WIDTH = 72  # from here on all bars of the chart share their columns
_PAIRED_WIDTH = 60  # from here on two figures share a line
_RANGE_WIDTH = 34  # below it a group of frames shows only where it starts
LABEL_WIDTH = len("visual retention")  # cells; from 72 columns on, everything else starts after it
_STACKED_WIDTH = LABEL_WIDTH + GAP + len("100.0%")  # below it a figure stands under its label


class AnswerChart:
    """A Rich renderable of one answer's retention, memory and time.

    It looks only at the ConsoleOptions it is given: `max_width`, and whether the stream can show Unicode. Every line
    fits the width, from 20 columns on.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, glyphs = min(options.max_width, MAX_WIDTH), glyphs_for(options)
        frames, budgets = bar_lines(self._answer, figures.MAX_ROWS, width, glyphs)
        layers = layer_lines(self._answer, figures.layer_rows(self._answer), width, glyphs)
        facts = _fact_lines(self._answer, width, glyphs)
        yield from (*frames, Text(), *layers, Text(), *budgets, *facts)


def frame_lines(answer: Answer, width: int, glyphs: Glyphs) -> list[Text]:
    """The frames alone: a header, and a line a frame or a group of them."""
    rows = _frame_rows(answer, figures.MAX_ROWS, width, glyphs)
    if width >= ALIGNED_WIDTH:
        rows = [replace(row, label=row.label.ljust(LABEL_WIDTH)) for row in rows]
    return _bar_table("time", rows, width, glyphs)


def fact_lines(facts: Iterable[Fact], width: int, glyphs: Glyphs) -> list[Text]:
    """A line a fact, the value after its label or, where there is no room, below it. Values may be foreign."""
    shown = [Fact(fact.label, printable(fact.value, ascii_only=glyphs.ascii_only)) for fact in facts]
    if width >= _STACKED_WIDTH:
        return [_fact_line(fact, width, glyphs) for fact in shown]
    return [line for fact in shown for line in stacked(fact.label, fact.value, width, glyphs)]


@dataclass(frozen=True, slots=True)
class _BarRow:
    label: str
    ratio: float
    count: str


def bar_lines(answer: Reading, limit: int, width: int, glyphs: Glyphs) -> tuple[list[Text], list[Text]]:
    """The lines of the frames and those of the two budgets, on common columns where there is room."""
    frames, budgets = _frame_rows(answer, limit, width, glyphs), _budget_rows(answer)
    if width >= ALIGNED_WIDTH:
        lines = _bar_table("time", [*frames, *budgets], width, glyphs)
        return lines[: -len(budgets)], lines[-len(budgets) :]
    if width >= _STACKED_WIDTH:
        return _bar_table("time", frames, width, glyphs), _bar_table("", budgets, width, glyphs)[1:]
    below = [line for row in budgets for line in stacked(row.label, format_percent(row.ratio), width, glyphs)]
    return _bar_table("time", frames, width, glyphs), below


def _frame_rows(answer: Reading, limit: int, width: int, glyphs: Glyphs) -> list[_BarRow]:
    clock = figures.clock_of(answer)
    rows = figures.frame_rows(answer.retention, limit)
    return [
        _BarRow(
            row.time(clock, glyphs.dash) if width >= _RANGE_WIDTH else clock.format(row.first_sec),
            row.ratio,
            f"{row.kept}/{row.total}",
        )
        for row in rows
    ]


def _budget_rows(answer: Reading) -> list[_BarRow]:
    (visual, visual_ratio), (kv, kv_ratio) = figures.budgets(answer)
    tokens = f"{answer.visual_kept}/{answer.visual_total}"
    return [_BarRow(visual, visual_ratio, tokens), _BarRow(kv, kv_ratio, "")]


def _bar_table(first: str, rows: Sequence[_BarRow], width: int, glyphs: Glyphs) -> list[Text]:
    """Columns label, bar, count and percent; `first` heads the labels, "" heads nothing at all."""
    heads = (first, "visual tokens kept", "kept/total", "percent") if first else ("", "", "", "")
    columns = (
        Column(heads[0], tuple(row.label for row in rows)),
        BarColumn(heads[1], tuple(row.ratio for row in rows), rank=1, style=ACCENT, track=True),
        Column(heads[2], tuple(row.count for row in rows), rank=2, right=True, style="dim"),
        Column(heads[3], tuple(format_percent(row.ratio) for row in rows), right=True),
    )
    return table(columns, width, glyphs)


def layer_lines(reading: Reading, rows: Sequence[LayerRow], width: int, glyphs: Glyphs) -> list[Text]:
    """A header, and a line a row of layers."""
    label_width = LABEL_WIDTH if width >= ALIGNED_WIDTH else 0
    columns = (
        Column("layers", tuple(row.numbers(glyphs.dash).ljust(label_width) for row in rows)),
        Column("visual KV", tuple(row.verdict for row in rows)),
        Column(figures.similarity_head(reading.m), tuple(row.similarity_text for row in rows), rank=1),
        Column(
            "KV bytes", tuple(format_bytes(row.kv_bytes) for row in rows), rank=2, right=True, style="dim"
        ),
    )
    return table(columns, width, glyphs)


def _fact_lines(answer: Answer, width: int, glyphs: Glyphs) -> list[Text]:
    pairs = list(figures.cost_facts(answer))
    if width >= _PAIRED_WIDTH:
        costs = _paired_lines(pairs, width, glyphs)
    else:
        costs = fact_lines((fact for pair in pairs for fact in pair), width, glyphs)
    return [*costs, *fact_lines(figures.model_facts(answer), width, glyphs)]


def _paired_lines(pairs: Sequence[tuple[Fact, Fact]], width: int, glyphs: Glyphs) -> list[Text]:
    left, right = zip(*pairs, strict=True)
    columns = (
        Column("", tuple(fact.label.ljust(LABEL_WIDTH) for fact in left), style="dim"),
        Column("", tuple(fact.value for fact in left)),
        Column("", tuple(fact.label for fact in right), style="dim"),
        Column("", tuple(fact.value for fact in right)),
    )
    return table(columns, width, glyphs)[1:]


def _fact_line(fact: Fact, width: int, glyphs: Glyphs) -> Text:
    line = Text.assemble((fact.label.ljust(LABEL_WIDTH + GAP), "dim"), fact.value)
    return cut(line, width, glyphs)


def stacked(label: str, value: str, width: int, glyphs: Glyphs) -> Iterator[Text]:
    """A value below its label."""
    yield cut(Text(label, style="dim"), width, glyphs)
    yield cut(Text(" " * GAP + value), width, glyphs)
