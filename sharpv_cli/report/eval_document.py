"""An evaluation as JSON (`sharpv.eval/1`, docs/schema/sharpv.eval.1.json) and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from sharpv_cli import __version__
from sharpv_cli.report.document import pick, plain
from sharpv_cli.report.eval_tables import EvalTable, breakdowns, facts, methods_table, notes
from sharpv_cli.report.markdown import cell, table
from sharpv_cli.types import Evaluation, MethodScore

SCHEMA = "sharpv.eval/1"
_ABOUT = tuple("dataset model device questions asked videos match score baseline interrupted".split())
_SCORE = (
    "accuracy", "difference", "visual_retention", "kv_retention", "budget", "layers_discarded", "engine",
    "prune_sec", "prefill_sec", "tpot_sec", "similarities", "pruned_nothing", "frames", "visual_tokens", "kv_bytes",
)  # fmt: skip
_DASH = "–"


def eval_document(evaluation: Evaluation, *, settings: Mapping[str, object]) -> dict[str, object]:
    """The document as plain types. Shares and differences lie in [-1, 1]; units are in the keys."""
    document = {
        "schema": SCHEMA,
        "sharpv_version": __version__,
        **pick(evaluation, _ABOUT),
        "settings": settings,
        "methods": {score.method: _score(score) for score in evaluation.scores},
        "failures": [asdict(failure) for failure in evaluation.failures],
        "warnings": [{"text": text, "answers": count} for text, count in evaluation.warnings],
    }
    return {key: plain(value) for key, value in document.items()}


def _score(score: MethodScore) -> dict[str, object]:
    return {
        **pick(score, _SCORE),
        "accuracy_interval": asdict(score.interval),
        "difference_interval": score.difference_interval and asdict(score.difference_interval),
        "groups": [asdict(group) for group in score.groups],
        "lengths": [asdict(group) for group in score.lengths],
    }


def eval_markdown(evaluation: Evaluation) -> str:
    """All that EvalChart shows as Markdown, ended by a newline."""
    return "\n\n".join(_blocks(evaluation)) + "\n"


def _blocks(evaluation: Evaluation) -> Iterator[str]:
    yield table(("what", "value"), "ll", [(label, cell(value)) for label, value in facts(evaluation)])
    if not evaluation.scores:
        yield "No question was answered by every method."
        return
    yield _table(methods_table(evaluation, _DASH))
    yield "\n\n".join(notes(evaluation))
    for breakdown in breakdowns(evaluation):
        yield f"**{breakdown.title[:1].upper()}{breakdown.title[1:]}**\n\n{_table(breakdown)}"


def _table(shown: EvalTable) -> str:
    rows = [(cell(row[0]), *row[1:]) for row in shown.rows]
    return table(shown.heads, "l" + "r" * (len(shown.heads) - 1), rows)
