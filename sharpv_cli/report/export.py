"""`--chart-out` of answers: what was kept of the video as a page, a picture or text, whichever a suffix names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sharpv_cli.report.chart import LABEL_WIDTH, AnswerChart
from sharpv_cli.report.contact_sheet import contact_sheet
from sharpv_cli.report.document import Asked
from sharpv_cli.report.exports import Exports, Render
from sharpv_cli.report.markdown import markdown_chart
from sharpv_cli.report.page import report_page
from sharpv_cli.report.pages import page_formats, png
from sharpv_cli.text import printable
from sharpv_cli.types import Answer

PAGE = ".html"
WIDTH = 80  # columns of the text that svg and txt hold
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


def _all_content(asked: Sequence[Asked]) -> list[RenderableType]:
    content: list[RenderableType] = []
    for one in asked:
        content += ["", *_content(one.answer)] if content else _content(one.answer)
    return content


def _md(asked: Sequence[Asked]) -> bytes:
    return "\n".join(markdown_chart(one.answer) for one in asked).encode()


def _png(asked: Sequence[Asked]) -> bytes:
    return png(contact_sheet(asked[-1].answer))


_FORMATS: dict[str, Render[Sequence[Asked]]] = page_formats(
    _all_content, {PAGE: report_page, ".png": _png, ".md": _md}, width=WIDTH, title=_TITLE
)


def answer_exports(charts: Sequence[str | os.PathLike[str]]) -> Exports[Sequence[Asked]]:
    """Files that show answers to be, as svg, html, png, md or txt, whichever a suffix says. Raises UsageError."""
    return Exports({}, [os.fspath(chart) for chart in charts], _FORMATS, {})
