"""`--export-markdown` and `--chart-out` of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sharpv_cli.report.eval_chart import EvalChart
from sharpv_cli.report.eval_document import eval_document, eval_markdown
from sharpv_cli.report.exports import Exports
from sharpv_cli.report.pages import ThemeName, formats, text_page
from sharpv_cli.types import Evaluation

WIDTH = 110  # columns of the text: all figures of a method stand in one row


def eval_exports(
    *,
    markdown: str | None,
    charts: Sequence[str],
    results: Path,
    settings: Mapping[str, object],
    theme: ThemeName = "light",
) -> Exports[Evaluation]:
    """Targets are paths, `markdown` one or None, or "-" for stdout; `results` is protected. Raises UsageError.

    `settings` are those of the document.
    """

    def picture(evaluation: Evaluation, *, kind: str, theme: ThemeName) -> bytes:
        from sharpv_cli.report.eval_picture import eval_picture

        document = eval_document(evaluation, settings=settings)
        return eval_picture(evaluation, document, kind=kind, theme=theme)

    def page(evaluation: Evaluation) -> bytes:
        from sharpv_cli.report.still_page import still_page

        return still_page(evaluation, _text(evaluation), picture)

    kinds = formats(page=page, picture=picture, markdown=eval_markdown, text=_text, theme=theme)
    given = {"Markdown": (markdown, kinds[".md"])}
    return Exports(given, charts, kinds, {str(results): "the results file"})


def _text(evaluation: Evaluation) -> bytes:
    return text_page([EvalChart(evaluation)], width=WIDTH)
