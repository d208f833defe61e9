"""Answers that are chosen beside those that are generated: how often right, how sure, and how long they take.

`python -m sharpv_cli.benchmarks.choices --limit 1000` asks the first held-out questions of ShapesQA that have choices
three ways, in turns: generated, `--choices` with all answers that a question of its type can have, and `sharpv check`
where those are yes and no. All are behind one look at the clip: seconds are those of reading the question and answering
it. The calibration error (ECE) is the mean distance of how sure an answer was from how often such answers are right, in
ten bins (Guo et al. 2017); what is generated is as sure as its tokens are likely.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import exp, fsum
from pathlib import Path
from statistics import fmean, median

from sharpv_cli.evaluation.datasets import shapes
from sharpv_cli.evaluation.datasets.dataset import Item
from sharpv_cli.evaluation.scoring import is_right
from sharpv_cli.evaluation.statistics import wilson
from sharpv_cli.forms import form_of
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.frames import decode_whole
from sharpv_cli.pipeline.prompts import SharedPrompts
from sharpv_cli.pipeline.question import answer, whole_answer
from sharpv_cli.session import open_session
from sharpv_cli.settings import resolve
from sharpv_cli.types import YES_OR_NO, Answer, Form

_BINS = 10
_NAMES = ("generated", "choices", "choices, by length", "generated yes or no", "check")


@dataclass
class Tally:
    """Of one way to answer: by question whether it was right, how sure it was, and its seconds."""

    right: list[bool] = field(default_factory=list)
    sure: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, right: bool, sure: float, seconds: float) -> None:
        self.right.append(right)
        self.sure.append(sure)
        self.seconds.append(seconds)

    def row(self, name: str) -> str:
        at = wilson(sum(self.right), len(self.right))
        return (
            f"| {name} | {len(self.right)} | {100 * fmean(self.right):.1f} | {100 * at.low:.1f}–{100 * at.high:.1f} "
            f"| {calibration_error(self.right, self.sure):.4f} | {1000 * median(self.seconds):.1f} |"
        )


def calibration_error(right: Sequence[bool], sure: Sequence[float]) -> float:
    bins: dict[int, list[tuple[bool, float]]] = {}
    for one, at in zip(right, sure, strict=True):
        bins.setdefault(min(int(at * _BINS), _BINS - 1), []).append((one, at))
    gaps = ((len(each), abs(fmean(r for r, _ in each) - fmean(p for _, p in each))) for each in bins.values())
    return sum(count * gap for count, gap in gaps) / len(right)


def measure(items: Sequence[Item], dataset: shapes.ShapesQA, profile: str) -> dict[str, Tally]:
    """What there is when it is interrupted, or all."""
    settings = resolve({}, {}, profile=profile).settings
    session = open_session(settings)
    tallies = {name: Tally() for name in _NAMES}
    with suppress(KeyboardInterrupt):
        for done, item in enumerate(items):
            prompts = SharedPrompts(Clip(session, decode_whole(dataset.prepare(item), settings), settings))
            whole_answer(answer(prompts, item.prompt))  # looks at the clip
            for name, form in _ways(item):
                got = whole_answer(answer(prompts, item.prompt, form=form))
                for told, text, sure in _told(name, got, item):
                    tallies[told].add(is_right(text, item), sure, got.timing.total_sec)
            print(f"\r{done + 1} of {len(items)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return tallies


def _ways(item: Item) -> Iterator[tuple[str, Form]]:
    yield "generated", form_of(logprobs=True)
    yield "choices", form_of(choices=item.choices)
    if _is_closed(item):
        yield "check", YES_OR_NO


def _is_closed(item: Item) -> bool:
    return item.choices == ("yes", "no")


def _told(name: str, got: Answer, item: Item) -> Iterator[tuple[str, str, float]]:
    """The answers that one run gives, and how sure each is."""
    if got.logprobs is not None:
        sure = exp(fsum(token.logprob for token in got.logprobs))
        yield name, got.text, sure
        if _is_closed(item):
            yield "generated yes or no", got.text, sure
        return
    yield name, got.text, max(choice.probability for choice in got.choices)
    if name == "choices":
        best = max(got.choices, key=lambda choice: choice.probability_by_length)
        yield "choices, by length", best.text, best.probability_by_length


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--clips", type=Path, default=shapes.default_folder(os.environ))
    args = parser.parse_args()
    dataset = shapes.load(None, 2 * args.limit, args.clips)  # most have choices
    closed = dataset.with_choices().items[: args.limit]
    print(
        "| answers | questions | right % | 95 % | ECE | ms a question |\n| :--- | ---: | ---: | ---: | ---: | ---: |"
    )
    for name, tally in measure(closed, dataset, args.profile).items():
        if tally.right:
            print(tally.row(name))


if __name__ == "__main__":
    main()
