"""What pages show of measurements, so that nobody types a figure: blocks and figures between comments of Markdown.

`<!-- results: VIEW NAME... -->` to `<!-- end -->` is a block, `<!--=NAME METHOD FIGURE-->` to `<!--/-->` a figure.
"""

from __future__ import annotations

import gzip
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sharpv_cli.benchmarks import confusion
from sharpv_cli.benchmarks.outcomes import outcomes_in
from sharpv_cli.docs import takeaway
from sharpv_cli.docs.tables import Table, curve_command
from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets import shapes
from sharpv_cli.evaluation.methods import DENSE, SHARPV
from sharpv_cli.report.eval_tables import breakdowns, methods_table, percent, signed, span
from sharpv_cli.report.markdown import table
from sharpv_cli.types import Evaluation, GroupScore, MethodScore

BLOCK = re.compile(r"(<!-- results: ([^>\n]+?) -->\n).*?(<!-- end -->)", re.DOTALL)
FIGURE = re.compile(r"(<!--=([^>\n]+?)-->)[^<]*(<!--/-->)")
_COLUMNS = 8  # of the table of methods: without times, which are those of a busy machine
_DASH = "–"

T = TypeVar("T")
_Written = Callable[[re.Match[str]], str]


class _IncompleteError(Exception):
    """A table has not been measured to the end: what shows it stays as it was."""


@dataclass(frozen=True, slots=True)
class Views:
    """What was measured, and how it is shown. `found` of `tables`, and `curve`, may be incomplete."""

    tables: Mapping[str, Table]
    found: Mapping[str, Evaluation]
    curve: Mapping[str, Any] | None
    folder: Path

    def block(self, view: str, names: list[str]) -> str:
        """Raises UsageError for what there is not."""
        views: dict[str, Callable[[list[str]], str]] = {
            "commands": self._commands,
            "methods": self._methods,
            "table": lambda names: f"{self._commands(names)}\n\n{self._methods(names)}",
            "types": self._types,
            "beside": self._beside,
            "confusion": self._confusion,
            "tokens": self._tokens,
            "lead": lambda names: takeaway.lead([self._one(name) for name in names]),
            "curve": lambda _: takeaway.methods_table(self._curve()),
            "curve-command": lambda _: _shell(curve_command(self.tables)),
            "losses": lambda names: takeaway.losses(
                self._curve(), self._one(names[0]), [self._one(name) for name in names[1:]]
            ),
        }
        if view not in views:
            raise UsageError(f"no such view of results: {view}", hint=f"choose from {', '.join(views)}")
        return views[view](names)

    def figure(self, name: str, method: str, wanted: str) -> str:
        """One figure of a method: `right`, `less` and its interval `between`, `visual`, `kv`, `layers`.

        `right:TYPE` and `less:TYPE` are those of a type.
        """
        score = _score(self._one(name), method)
        kind, _, group = wanted.partition(":")
        told = _group(score, group) if group else score
        figures = {
            "right": lambda: percent(told.accuracy),
            "less": lambda: signed(told.difference or 0.0),
            "between": lambda: _paired(score)[1],
            "visual": lambda: percent(score.visual_retention),
            "kv": lambda: percent(score.kv_retention),
            "layers": lambda: f"{score.layers_discarded:.1f}",
        }
        if kind not in figures:
            raise UsageError(f"no such figure: {wanted}", hint=f"choose from {', '.join(figures)}")
        return figures[kind]()

    def _curve(self) -> Mapping[str, Any]:
        if self.curve is None:
            raise _IncompleteError
        return self.curve

    def _one(self, name: str) -> Evaluation:
        if name in self.found:
            return self.found[name]
        if name in self.tables:
            raise _IncompleteError
        raise UsageError(f"no such table: {name}", hint="docs/results/tables.toml lists them")

    def _commands(self, names: list[str]) -> str:
        return _shell("\n".join(self.tables[name].command for name in names))

    def _methods(self, names: list[str]) -> str:
        [name] = names
        shown = methods_table(self._one(name), _DASH)
        heads = [head.replace("95 % of that", "95 %") for head in shown.heads[:_COLUMNS]]
        rows = [(f"`{row[0]}`", *row[1:_COLUMNS]) for row in shown.rows]
        return table(heads, "l" + "r" * (_COLUMNS - 1), rows)

    def _types(self, names: list[str]) -> str:
        [name] = names
        shown = next(breakdowns(self._one(name)))
        heads = ("", *shown.heads[1:])
        return table(heads, "l" + "r" * (len(heads) - 1), [(f"`{row[0]}`", *row[1:]) for row in shown.rows])

    def _confusion(self, names: list[str]) -> str:
        """Every wrong answer of dense and SharpV to ShapesQA's own questions."""
        [name] = names
        self._one(name)
        with tempfile.TemporaryDirectory() as work:
            items = shapes.load(None, self.tables[name].limit, Path(work)).items
            results = Path(work) / "results.jsonl"
            results.write_bytes(gzip.decompress((self.folder / f"{name}.jsonl.gz").read_bytes()))
            return confusion.markdown(items, list(outcomes_in(results)), (DENSE, SHARPV))

    def _beside(self, names: list[str]) -> str:
        """SharpV beside dense, a row a table."""
        heads = (
            "clips and questions", "questions", "dense", "95 %", "SharpV", "95 %", "SharpV less dense", "95 %",
            "visual retention %", "KV retention %",
        )  # fmt: skip
        return table(heads, "l" + "r" * (len(heads) - 1), [_side_by_side(self._one(name)) for name in names])

    def _tokens(self, names: list[str]) -> str:
        """Methods at several budgets, each with its difference to the first one."""
        found = [self._one(name) for name in names]
        heads = ["right %"]
        for one in found:
            heads += [f"{int(one.match.partition(':')[2]):,}", "95 %", f"less {one.baseline}", "95 %"]
        labels = list(dict.fromkeys(score.method for one in found for score in one.scores))
        rows = [
            (f"`{label}`", *(cell for one in found for cell in _beside_first(one, label))) for label in labels
        ]
        return table(heads, "l" + "r" * (len(heads) - 1), rows)


def filled(page: str, views: Views) -> str:
    """The page with every block and figure as measured; as it was where not all of it is. Raises UsageError."""

    def block(match: re.Match[str]) -> str:
        view, *names = match[2].split()
        return f"{match[1]}{views.block(view, names)}\n{match[3]}"

    def figure(match: re.Match[str]) -> str:
        name, method, wanted = match[2].split(maxsplit=2)
        return f"{match[1]}{views.figure(name, method, wanted)}{match[3]}"

    return FIGURE.sub(_or_as_it_was(figure), BLOCK.sub(_or_as_it_was(block), page))


def _or_as_it_was(written: _Written) -> _Written:
    def write(match: re.Match[str]) -> str:
        try:
            return written(match)
        except _IncompleteError:
            return match[0]

    return write


def _shell(command: str) -> str:
    return f"```sh\n{command}\n```"


def _score(evaluation: Evaluation, method: str) -> MethodScore:
    return _named({score.method: score for score in evaluation.scores}, method, "method")


def _group(score: MethodScore, name: str) -> GroupScore:
    return _named({group.name: group for group in (*score.groups, *score.lengths)}, name, "type of question")


def _named(there: Mapping[str, T], name: str, what: str) -> T:
    if name not in there:
        raise UsageError(f"no such {what}: {name}", hint=f"choose from {', '.join(there)}")
    return there[name]


def _side_by_side(evaluation: Evaluation) -> tuple[str, ...]:
    dense, sharpv = _score(evaluation, DENSE), _score(evaluation, SHARPV)
    return (
        f"`{evaluation.dataset}`",
        f"{evaluation.questions:,}",
        percent(dense.accuracy),
        span(dense.interval, _DASH),
        percent(sharpv.accuracy),
        span(sharpv.interval, _DASH),
        *_paired(sharpv),
        percent(sharpv.visual_retention),
        percent(sharpv.kv_retention),
    )


def _beside_first(evaluation: Evaluation, method: str) -> tuple[str, ...]:
    score = next((score for score in evaluation.scores if score.method == method), None)
    if score is None:
        return ("",) * 4
    return (percent(score.accuracy), span(score.interval, _DASH), *_paired(score))


def _paired(score: MethodScore) -> tuple[str, str]:
    interval = score.difference_interval
    told = "" if interval is None else f"{signed(interval.low)} to {signed(interval.high)}"
    return "" if score.difference is None else signed(score.difference), told
