"""`--export-markdown` and `--chart-out` of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sharpv_cli.errors import UsageError
from sharpv_cli.files import check_writable, write_whole
from sharpv_cli.report.eval_chart import EvalChart
from sharpv_cli.report.eval_document import eval_markdown
from sharpv_cli.report.pages import page_formats
from sharpv_cli.text import shown
from sharpv_cli.types import Evaluation

STDOUT = "-"
WIDTH = 110  # columns of the text that svg, html and txt hold: all figures of a method stand in one row
_TITLE = "sharpv: right answers by pruning method"


class EvalExports:
    """Where the report goes: checked before the first question, written at the end.

    Each target is a path or None, `markdown` also "-" for stdout. `results` is protected from being overwritten.
    Raises UsageError where a target cannot be written, before any work.
    """

    def __init__(self, *, markdown: str | None, chart: str | None, results: Path) -> None:
        self._to_stdout = markdown == STDOUT
        self._files: list[tuple[str, Path, Callable[[Evaluation], bytes]]] = []
        if markdown not in (None, STDOUT):
            self._files.append(("Markdown", Path(str(markdown)), _markdown))
        if chart is not None:
            self._files.append(("chart", Path(chart), _chart_format(chart)))
        check_writable(results)
        seen = {os.path.realpath(results)}
        for _, path, _ in self._files:
            check_writable(path)
            if os.path.realpath(path) in seen:
                raise UsageError(f"two outputs to {shown(path)}", hint="give each a file of its own")
            seen.add(os.path.realpath(path))

    @property
    def written(self) -> tuple[tuple[str, Path], ...]:
        """What is written, and the file it goes to."""
        return tuple((what, path) for what, path, _ in self._files)

    def write(self, evaluation: Evaluation) -> None:
        """Write all files, each whole or not at all. Raises UsageError (a full disk, a folder gone)."""
        for _, path, render in self._files:
            write_whole(path, render(evaluation))

    def stdout(self, evaluation: Evaluation) -> str | None:
        """What the target "-" gets, ended by a newline; None without one."""
        return eval_markdown(evaluation) if self._to_stdout else None


def _chart_format(path: str) -> Callable[[Evaluation], bytes]:
    suffix = Path(path).suffix.lower()
    if suffix not in _CHARTS:
        raise UsageError(
            f"cannot write a chart to {shown(path)}", hint=f"end the name in one of {', '.join(_CHARTS)}"
        )
    return _CHARTS[suffix]


def _markdown(evaluation: Evaluation) -> bytes:
    return eval_markdown(evaluation).encode()


_CHARTS: dict[str, Callable[[Evaluation], bytes]] = {
    **page_formats(lambda evaluation: (EvalChart(evaluation),), width=WIDTH, title=_TITLE),
    ".md": _markdown,
}
