"""What was answered instead of what was right, by type of question: `python -m sharpv_cli.benchmarks.confusion FILE`.

FILE is a results file of `sharpv eval shapes --limit N`; give the same `--limit`. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from sharpv_cli.benchmarks.outcomes import outcomes_in
from sharpv_cli.evaluation.datasets import shapes
from sharpv_cli.evaluation.datasets.dataset import Item
from sharpv_cli.evaluation.results import Outcome
from sharpv_cli.report.markdown import table
from sharpv_cli.shapes.offtopic import UNKNOWN

_HEADS = ("method", "type", "right answer", "given answer", "times")


def confusions(items: Sequence[Item], outcomes: Iterable[Outcome]) -> Counter[tuple[str, str, str, str]]:
    """How often each method gave each wrong answer: (method, type, right answer, given answer)."""
    known = {item.id: item for item in items}
    wrong = (outcome for outcome in outcomes if not outcome.right and outcome.item in known)
    return Counter((o.method, known[o.item].group, known[o.item].answer, o.answer) for o in wrong)


def unknowns(items: Sequence[Item], outcomes: Iterable[Outcome], method: str) -> tuple[int, int]:
    """How many of a method's questions have an answer in this world, and to how many of those it says not to know."""
    known = {item.id for item in items if item.answer != UNKNOWN}
    mine = [o for o in outcomes if o.method == method and o.item in known]
    return len(mine), sum(o.answer == UNKNOWN for o in mine)


def markdown(items: Sequence[Item], outcomes: Sequence[Outcome], methods: Sequence[str]) -> str:
    """Every wrong answer of the methods, and how often each said not to know."""
    counted = sorted(confusions(items, (o for o in outcomes if o.method in methods)).items())
    rows = [(*(f"`{text}`" for text in key), str(times)) for key, times in counted]
    said = [(method, *unknowns(items, outcomes, method)) for method in methods]
    lines = [
        f"{method}: `{UNKNOWN}` to {unknown} of {asked} questions of its world"
        for method, asked, unknown in said
    ]
    return "\n\n".join([table(_HEADS, "llllr", rows), *lines])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--limit", type=int, default=4000)
    parser.add_argument("--methods", default="dense,sharpv")
    parser.add_argument("--clips", type=Path, default=shapes.default_folder(os.environ))
    args = parser.parse_args(arguments)
    items = shapes.load(None, args.limit, args.clips).items
    print(markdown(items, list(outcomes_in(args.results)), args.methods.split(",")))


if __name__ == "__main__":
    main()
