"""`--chart-out`: the chart as a file, in the format that its suffix names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sharpv_cli.errors import UsageError
from sharpv_cli.files import check_writable, write_whole
from sharpv_cli.report.chart import LABEL_WIDTH, AnswerChart
from sharpv_cli.report.contact_sheet import contact_sheet
from sharpv_cli.report.markdown import markdown_chart
from sharpv_cli.report.pages import page_formats, png
from sharpv_cli.text import printable, shown
from sharpv_cli.types import Answer

SUFFIXES = (".svg", ".html", ".png", ".md", ".txt")
WIDTH = 80  # columns of the text that svg, html and txt hold
_TITLE = "sharpv: what was kept of the video"


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise UsageError where a chart cannot be written to `path`; meant to run before the real work."""
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise UsageError(f"cannot write a chart to {shown(target)}", hint=f"end the name in one of {known}")
    check_writable(target)


def write_chart(answer: Answer, path: str | os.PathLike[str]) -> None:
    """Write the chart to `path` as svg, html, png, md or txt, whichever its suffix says.

    The file appears whole or not at all. Raises UsageError for an unknown suffix and where the folder does
    not take the file.
    """
    check_target(path)
    target = Path(path)
    write_whole(target, _FORMATS[target.suffix.lower()](answer))


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


_FORMATS: dict[str, Callable[[Answer], bytes]] = {
    **page_formats(_content, width=WIDTH, title=_TITLE),
    ".png": _png,
    ".md": _md,
}
