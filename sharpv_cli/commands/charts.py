"""`--chart-out` and `--open`: where pictures of a run go. They mean the same in every command."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Literal

from sharpv_cli import browser
from sharpv_cli.commands.options import option

ChartOutOption = Annotated[
    list[str] | None,
    option(
        "--chart-out FILE",
        "Draw it to FILE.html (a page to explore), .svg, .png, .md or .txt; repeatable.",
        panel="Output",
    ),
]
ThemeOption = Annotated[
    Literal["light", "dark"],
    option(
        "--theme light|dark",
        "The paper of .svg and .png; a page follows the reader's system.",
        panel="Output",
    ),
]
OpenOption = Annotated[
    bool, option("--open", "Write the page of --chart-out, and open it in the browser.", panel="Output")
]


def is_page(chart: str) -> bool:
    return chart.lower().endswith(".html")


def page_among(charts: list[str]) -> Path:
    """The page to open: the first that is written anyway, else a further one in a new folder of the user's own."""
    if not any(map(is_page, charts)):
        charts.append(str(Path(tempfile.mkdtemp(prefix="sharpv-")) / "report.html"))
    return Path(next(filter(is_page, charts)))


@contextmanager
def opened_after(page: Path | None) -> Iterator[None]:
    """Open the page once the block has written it; without an answer there is none."""
    try:
        yield
        if page is not None and page.exists():
            browser.show(page)
    finally:
        if page is not None and not page.exists():
            with suppress(OSError):  # a folder of the user's, or one with something in it
                page.parent.rmdir()
