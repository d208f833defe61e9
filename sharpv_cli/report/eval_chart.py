"""The report of `sharpv eval` on a console: the methods beside each other, then by type, length and layer."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sharpv_cli.report.chart import ACCENT, fact_lines
from sharpv_cli.report.eval_tables import EvalTable, breakdowns, facts, methods_table, notes
from sharpv_cli.report.figures import Fact
from sharpv_cli.report.layout import GAP, BarColumn, Column, Glyphs, cut, glyphs_for, natural_width, table
from sharpv_cli.text import printable
from sharpv_cli.types import Evaluation

MAX_WIDTH = 120  # cells
# What a narrow console leaves out first, by column of the methods' table.
_RANKS = {"TPOT": 9, "prune": 8, "layers discarded": 7, "prefill": 6, "95 %": 4, "95 % of that": 3}
_BAR_RANK = 5


class EvalChart:
    """A Rich renderable. It looks only at the ConsoleOptions it is given, and every line fits the width."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, glyphs = min(options.max_width, MAX_WIDTH), glyphs_for(options)
        for index, section in enumerate(_sections(self._evaluation, width, glyphs)):
            yield from (*([Text()] if index else []), *section)


def _sections(evaluation: Evaluation, width: int, glyphs: Glyphs) -> Iterator[list[Text]]:
    yield fact_lines([Fact(label, value) for label, value in facts(evaluation)], width, glyphs)
    if not evaluation.scores:
        yield [Text("no question was answered by every method")]
        return
    yield _methods(evaluation, width, glyphs)
    yield [Text(line, style="dim") for note in notes(evaluation) for line in _wrapped(note, width, glyphs)]
    for breakdown in breakdowns(evaluation):
        title = cut(Text(breakdown.title, style="bold"), width, glyphs)
        yield [title, *_in_parts(breakdown, width, glyphs)]


def _wrapped(note: str, width: int, glyphs: Glyphs) -> list[str]:
    return textwrap.wrap(printable(note, ascii_only=glyphs.ascii_only), width)


def _methods(evaluation: Evaluation, width: int, glyphs: Glyphs) -> list[Text]:
    shown = methods_table(evaluation, glyphs.dash)
    columns: list[Column | BarColumn] = []
    for place, head in enumerate(shown.heads):
        cells = tuple(printable(row[place], ascii_only=glyphs.ascii_only) for row in shown.rows)
        above, below = _two_lines(head)
        columns.append(Column(above, (below, *cells), rank=_RANKS.get(head, 0), right=place > 0))
    ratios = tuple(score.accuracy for score in evaluation.scores)
    columns.insert(1, BarColumn("", (0.0, *ratios), rank=_BAR_RANK, style=ACCENT))
    if natural_width([column for column in columns if not column.rank]) > width:
        return _blocks(shown, width, glyphs)
    lines = table(columns, width, glyphs)
    lines[1].stylize("dim")
    return lines


def _two_lines(head: str) -> tuple[str, str]:
    above, _, below = head.rpartition(" ")
    return above, below


def _blocks(shown: EvalTable, width: int, glyphs: Glyphs) -> list[Text]:
    """A method, a figure a line, where not even the budgets fit beside each other."""
    lines: list[Text] = []
    for name, *cells in shown.rows:
        if lines:
            lines.append(Text())
        lines.append(cut(Text(printable(name), style="bold"), width, glyphs))
        pairs = zip(shown.heads[1:], cells, strict=True)
        lines += fact_lines([Fact(head, text) for head, text in pairs if text], width, glyphs)
    return lines


def _in_parts(shown: EvalTable, width: int, glyphs: Glyphs) -> Iterator[Text]:
    """As many methods beside each other as fit; the others below, under the same first columns."""
    columns = [
        Column(printable(head), tuple(printable(row[place]) for row in shown.rows), right=place > 0)
        for place, head in enumerate(shown.heads)
    ]
    fixed = 2 if shown.heads[1] == "questions" else 1
    rest, first = columns[fixed:], True
    while rest:
        count = _fitting(columns[:fixed], rest, width)
        yield from (() if first else (Text(),))
        yield from table([*columns[:fixed], *rest[:count]], width, glyphs)
        rest, first = rest[count:], False


def _fitting(fixed: list[Column], rest: list[Column], width: int) -> int:
    """How many of the columns `rest` fit beside `fixed`; at least one."""
    used, count = natural_width(fixed), 0
    for column in rest:
        used += GAP + column.width
        if used > width and count:
            break
        count += 1
    return count
