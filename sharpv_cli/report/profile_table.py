"""The methods of a profile beside each other, or one after the other where the console is narrow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.text import Text

from sharpv_cli.report.chart import stacked
from sharpv_cli.report.layout import Column, Glyphs, cut, natural_width, table
from sharpv_cli.report.profile_figures import Cell, Row

_SPAN = re.compile(r"[\d.]+[–-][\d.]+( min)?")
_GROUP_END = Row("", ())
Groups = Sequence[Sequence[Row]]


def method_lines(names: Sequence[str], groups: Groups, width: int, glyphs: Glyphs) -> list[Text]:
    """The ranges stand in line or below their medians, whichever fits; else a method is a block of lines."""
    for below in (False, True):
        columns = _beside(names, groups, below=below)
        if natural_width(columns) <= width:
            return _styled(table(columns, width, glyphs))
    blocks = [_block(name, index, groups, width, glyphs) for index, name in enumerate(names)]
    return [line for block in blocks for line in (Text(), *block)][1:]


def _beside(names: Sequence[str], groups: Groups, *, below: bool) -> list[Column]:
    """The column of labels and one a method; an empty row between groups, a row of ranges `below` medians."""
    rows = [row for group in groups for row in (*group, _GROUP_END)][:-1]
    labels = [text for row in rows for text in ((row.label, "") if below and _ranged(row) else (row.label,))]
    columns = (Column(name, tuple(_column(index, rows, below=below))) for index, name in enumerate(names))
    return [Column("", tuple(labels)), *columns]


def _ranged(row: Row) -> bool:
    return any(cell.span for cell in row.cells)


def _column(index: int, rows: Sequence[Row], *, below: bool) -> Iterator[str]:
    """One method's cells as texts whose values, ranges and ratios are aligned among themselves.

    A range below its value may be longer: it then reaches under the ratio.
    """
    cells = [row.cells[index] if row.cells else Cell("") for row in rows]
    spans = max(len(cell.span) for cell in cells)
    values = max(len(cell.value) for cell in cells)
    ratios = max(len(cell.ratio) for cell in cells)
    for row, cell in zip(rows, cells, strict=True):
        span = "" if below else f" {cell.span:<{spans}}"
        yield f"{cell.value:>{values}}{span} {cell.ratio:>{ratios}}".rstrip()
        if below and _ranged(row):
            yield f"{cell.span:>{values}}"


def _styled(lines: list[Text]) -> list[Text]:
    lines[0].stylize("not dim bold")
    for line in lines[1:]:
        line.highlight_regex(_SPAN, "dim")
    return lines


def _block(name: str, index: int, groups: Groups, width: int, glyphs: Glyphs) -> list[Text]:
    """One method, a figure a line: all on the same columns, or each group on its own where that is too wide."""
    rows = [row for group in groups for row in group]
    fits = natural_width(_block_columns(index, rows)) <= width
    parts = [_group_lines(index, group, width, glyphs) for group in ([rows] if fits else groups)]
    return [cut(Text(name, style="bold"), width, glyphs), *(line for part in parts for line in part)]


def _group_lines(index: int, rows: Sequence[Row], width: int, glyphs: Glyphs) -> list[Text]:
    """Ratio and range where there is room; the value below its label where there is none at all."""
    columns = _block_columns(index, rows)
    if natural_width([column for column in columns if column.rank == 0]) <= width:
        return table(columns, width, glyphs)[1:]
    return [line for row in rows for line in stacked(row.label, row.cells[index].value, width, glyphs)]


def _block_columns(index: int, rows: Sequence[Row]) -> list[Column]:
    cells = [row.cells[index] for row in rows]
    columns = [
        Column("", tuple(row.label for row in rows), style="dim"),
        Column("", tuple(cell.value for cell in cells), right=True),
        Column("", tuple(cell.span for cell in cells), rank=2, style="dim"),
        Column("", tuple(cell.ratio for cell in cells), rank=1, right=True),
    ]
    return [column for column in columns if column.width]
