"""`--chart-out`: the chart as a file, in the format that its suffix names."""

from __future__ import annotations

import os
from collections.abc import Iterable

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sharpv_cli.report.chart import LABEL_WIDTH, AnswerChart
from sharpv_cli.report.contact_sheet import contact_sheet
from sharpv_cli.report.exports import Exports, Render
from sharpv_cli.report.markdown import markdown_chart
from sharpv_cli.report.pages import page_formats, png
from sharpv_cli.text import printable
from sharpv_cli.types import Answer

WIDTH = 80  # columns of the text that svg, html and txt hold
_TITLE = "sharpv: what was kept of the video"


def heading(facts: Iterable[tuple[str, str]]) -> Table:
    """Foreign text under its labels, with line breaks where they were and long lines folded."""
    grid = Table.grid(padding=(0, 2))
    for label, value in facts:
        lines = (printable(line) for line in value.expandtabs(4).splitlines())
        grid.add_row(Text(label.ljust(LABEL_WIDTH), style="dim"), Text("\n".join(lines), overflow="fold"))
    return grid


def _content(answer: Answer) -> tuple[RenderableType, ...]:
    facts = (("video", answer.video.path), ("question", answer.question), ("answer", answer.text))
    return heading(facts), "", AnswerChart(answer)


def _md(answer: Answer) -> bytes:
    return markdown_chart(answer).encode()


def _png(answer: Answer) -> bytes:
    return png(contact_sheet(answer))


_FORMATS: dict[str, Render[Answer]] = page_formats(
    _content, {".png": _png, ".md": _md}, width=WIDTH, title=_TITLE
)


def answer_exports(chart: str | os.PathLike[str] | None) -> Exports[Answer]:
    """The chart of an answer to be, as svg, html, png, md or txt, whichever its suffix says. Raises UsageError."""
    return Exports({}, None if chart is None else os.fspath(chart), _FORMATS, {})
