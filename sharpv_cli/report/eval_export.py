"""`--export-markdown` and `--chart-out` of an evaluation."""

from __future__ import annotations

from pathlib import Path

from sharpv_cli.report.eval_chart import EvalChart
from sharpv_cli.report.eval_document import eval_markdown
from sharpv_cli.report.exports import Exports, Render
from sharpv_cli.report.pages import page_formats
from sharpv_cli.types import Evaluation

WIDTH = 110  # columns of the text that svg, html and txt hold: all figures of a method stand in one row
_TITLE = "sharpv: right answers by pruning method"


def eval_exports(*, markdown: str | None, chart: str | None, results: Path) -> Exports[Evaluation]:
    """Each target is a path or None, `markdown` also "-" for stdout; `results` is protected. Raises UsageError."""
    kept = {str(results): "the results file"}
    return Exports({"Markdown": (markdown, _markdown)}, chart, _CHARTS, kept)


def _markdown(evaluation: Evaluation) -> bytes:
    return eval_markdown(evaluation).encode()


_CHARTS: dict[str, Render[Evaluation]] = page_formats(
    lambda evaluation: (EvalChart(evaluation),), {".md": _markdown}, width=WIDTH, title=_TITLE
)
