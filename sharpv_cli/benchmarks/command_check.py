"""Answers of an evaluation against `sharpv ask`, a process each: they have to be the same, to the letter.

`python -m sharpv_cli.benchmarks.command_check docs/results/target.jsonl --limit 4000 --count 30` draws questions of
ShapesQA from a results file and asks them again with the default profile.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from sharpv_cli.benchmarks.outcomes import outcomes_in
from sharpv_cli.evaluation.datasets import shapes
from sharpv_cli.evaluation.datasets.dataset import Item
from sharpv_cli.evaluation.results import Outcome

METHOD = "sharpv"


def drawn(
    file: Path, limit: int, folder: Path, count: int, seed: int
) -> Iterator[tuple[Item, Path, Outcome]]:
    """`count` of the questions that SharpV has answered, each with its clip and the answer."""
    dataset = shapes.load(None, limit, folder)
    answers = {outcome.item: outcome for outcome in outcomes_in(file) if outcome.method == METHOD}
    items = [item for item in dataset.items if item.id in answers]
    for item in random.Random(seed).sample(items, min(count, len(items))):
        yield item, dataset.prepare(item), answers[item.id]


def asked(video: Path, question: str) -> str:
    """What the command prints, without the newline at its end."""
    command = [sys.executable, "-m", "sharpv_cli", "ask", str(video), question, "--quiet", "--keep-warm", "0"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    return done.stdout.removesuffix("\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--limit", type=int, default=4000, help="questions of the evaluation")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=Path, default=shapes.default_folder(os.environ))
    args = parser.parse_args()
    same = total = 0
    for item, video, outcome in drawn(args.results, args.limit, args.clips, args.count, args.seed):
        answer = asked(video, item.prompt)
        same, total = same + (answer == outcome.answer), total + 1
        print(
            f"{item.id}  {item.prompt!r}  {outcome.answer!r}  {'same' if answer == outcome.answer else answer!r}"
        )
    print(f"{same} of {total} the same")
    if same < total:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
