"""`--chart-out` of answers: what was kept of the video as a page, a picture or text, whichever a suffix names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sharpv_cli.report.chart import LABEL_WIDTH, AnswerChart
from sharpv_cli.report.document import Asked
from sharpv_cli.report.exports import Exports
from sharpv_cli.report.markdown import markdown_chart
from sharpv_cli.report.pages import ThemeName, formats, text_page
from sharpv_cli.text import printable

WIDTH = 80  # columns of the text


def answer_exports(
    charts: Sequence[str | os.PathLike[str]], *, theme: ThemeName = "light"
) -> Exports[Sequence[Asked]]:
    """Files that show answers to be, as html, svg, png, md or txt, whichever a suffix says. Raises UsageError."""
    kinds = formats(page=_page, picture=_picture, markdown=_markdown, text=_text, theme=theme)
    return Exports({}, [os.fspath(chart) for chart in charts], kinds, {})


def heading(facts: Iterable[tuple[str, str]]) -> Table:
    """Foreign text under its labels, with line breaks where they were and long lines folded."""
    grid = Table.grid(padding=(0, 2))
    for label, value in facts:
        lines = (printable(line) for line in value.expandtabs(4).splitlines())
        grid.add_row(Text(label.ljust(LABEL_WIDTH), style="dim"), Text("\n".join(lines), overflow="fold"))
    return grid


def _content(asked: Sequence[Asked]) -> Iterator[RenderableType]:
    for index, answer in enumerate(one.answer for one in asked):
        facts = (("video", answer.video.path), ("question", answer.question), ("answer", answer.text))
        yield from ("",) if index else ()
        yield from (heading(facts), "", AnswerChart(answer))


def _text(asked: Sequence[Asked]) -> bytes:
    return text_page(_content(asked), width=WIDTH)


def _markdown(asked: Sequence[Asked]) -> str:
    return "\n".join(markdown_chart(one.answer) for one in asked)


def _page(asked: Sequence[Asked]) -> bytes:
    from sharpv_cli.report.page import report_page

    return report_page(asked)


def _picture(asked: Sequence[Asked], *, kind: str, theme: ThemeName) -> bytes:
    from sharpv_cli.report.answer_picture import answer_picture

    return answer_picture(asked, kind=kind, theme=theme)
