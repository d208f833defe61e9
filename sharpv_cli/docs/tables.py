"""The list of what docs/results.md shows (docs/results/tables.toml): each table with the options that measure it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sharpv_cli.benchmarks.evaluating import evaluate
from sharpv_cli.commands.eval.source import Source
from sharpv_cli.docs import DOCS
from sharpv_cli.tables.shard import read_shard
from sharpv_cli.types import Evaluation

CURVE = "curve"
"""What several tables are named under, one for each budget."""
_SMOKE = 2  # questions


@dataclass(frozen=True, slots=True)
class Table:
    """One comparison. `flags` are settings, by option; `budget` is set where it is one of a curve's."""

    name: str
    dataset: str
    methods: str
    limit: int
    match: str
    sweep: tuple[str, ...]
    flags: Mapping[str, object]
    budget: float | None = None

    def draw(self, shard: str, clips: Path | None) -> None:
        """Make its clips that are not there yet, which takes no model. Raises SharpvError."""
        if not self.dataset.endswith(".jsonl"):
            dataset = Source(self.dataset, None, clips, self.limit, read_shard(shard)).read()
            for item in dataset.items:
                dataset.prepare(item)

    def evaluate(self, results: Path, **more: Any) -> Evaluation:
        """As its command does. Raises SharpvError."""
        flags = {"seen": "off", "device": "cpu", **self.flags, **more.pop("flags", {})}
        dataset = self.dataset
        if dataset.endswith(".jsonl"):  # no clips are made for it
            dataset, more["clips"] = str(DOCS.parent / dataset), None
        return evaluate(
            dataset,
            self.methods,
            results,
            sweeps=self.sweep,
            match=self.match,
            limit=self.limit,
            baseline=None,
            flags=flags,
            **more,
        )

    @property
    def command(self) -> str:
        """What a reader types, in lines of which each fits a page."""
        options = {"limit": self.limit, **self.flags}
        if self.match != "sharpv":
            options["match"] = self.match
        words = [f"sharpv eval {self.dataset}", *(f"--{key} {value}" for key, value in options.items())]
        words += [f"--methods {self.methods}", *(f"--sweep {values}" for values in self.sweep)]
        return _wrapped([*words, f"-o docs/results/{self.name}.jsonl"])


def read(file: Path, *, smoke: bool = False) -> dict[str, Table]:
    """All of them, by name; to try them, each with a few questions."""
    found = tomllib.loads(file.read_text(encoding="utf-8"))
    tables = {table.name: table for name, given in found.items() for table in _tables(name, given)}
    return {name: replace(one, limit=_SMOKE) for name, one in tables.items()} if smoke else tables


def curve_command(tables: Mapping[str, Table]) -> str:
    """What a reader types for all comparisons of the curve."""
    mine = [table for table in tables.values() if table.budget is not None]
    budgets = ",".join(f"{table.budget:g}" for table in mine)
    words = [f"python -m sharpv_cli.benchmarks.budget_curve {mine[0].dataset} --limit {mine[0].limit}"]
    words += [f"--budgets {budgets}", f"--methods {mine[0].methods.removeprefix('dense,')}"]
    return _wrapped([*words, f"-o docs/results/{CURVE}"])


def _tables(name: str, given: Mapping[str, Any]) -> Iterator[Table]:
    options = dict(given)
    budgets = options.pop("budgets", None)
    make = partial(
        Table,
        dataset=options.pop("dataset"),
        limit=options.pop("limit"),
        sweep=tuple(options.pop("sweep", ())),
    )
    methods, match = options.pop("methods"), options.pop("match", "sharpv")
    if budgets is None:
        yield make(name, methods=methods, match=match, flags=options)
        return
    for budget in budgets:
        yield make(
            f"{name}/{budget:g}", methods=f"dense,{methods}", match=f"all:{budget:g}", flags=options, budget=budget
        )  # fmt: skip


def _wrapped(words: list[str]) -> str:
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) > 116:
            lines[-1] += " \\"
            lines.append(f"  {word}")
        else:
            lines[-1] += f" {word}"
    return "\n".join(lines)
