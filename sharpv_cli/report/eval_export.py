"""`--export-markdown` and `--chart-out` of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sharpv_cli.report.eval_chart import EvalChart
from sharpv_cli.report.eval_document import eval_markdown
from sharpv_cli.report.exports import Exports, Render
from sharpv_cli.report.pages import page_formats
from sharpv_cli.types import Evaluation

WIDTH = 110  # columns of the text that svg, html and txt hold: all figures of a method stand in one row
_TITLE = "sharpv: right answers by pruning method"


def eval_exports(*, markdown: str | None, charts: Sequence[str], results: Path) -> Exports[Evaluation]:
    """Targets are paths, `markdown` one or None, or "-" for stdout; `results` is protected. Raises UsageError."""
    kept = {str(results): "the results file"}
    return Exports({"Markdown": (markdown, _markdown)}, charts, _CHARTS, kept)


def _markdown(evaluation: Evaluation) -> bytes:
    return eval_markdown(evaluation).encode()


_CHARTS: dict[str, Render[Evaluation]] = page_formats(
    lambda evaluation: (EvalChart(evaluation),), {".md": _markdown}, width=WIDTH, title=_TITLE
)
