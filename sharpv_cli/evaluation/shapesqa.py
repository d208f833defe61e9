"""Accuracy on held-out ShapesQA questions through the real path, from encoded file to answer.

`python -m sharpv_cli.evaluation.shapesqa --questions 500` encodes the clips (kept in --clips for the next run),
asks each question with every method, and prints a table.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sharpv_cli.pipeline import load_model
from sharpv_cli.pipeline.answering import answer
from sharpv_cli.pipeline.asking import decode_video
from sharpv_cli.pipeline.methods import METHODS, method_names, settings_of
from sharpv_cli.settings import resolve
from sharpv_cli.shapes.clips import Clip, sample_clip, write
from sharpv_cli.shapes.questions import QUESTION_TYPES, Question, is_right, sample_question
from sharpv_cli.types import Answer, Finished, MethodName

QUESTIONS_PER_CLIP = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question asked with one method."""

    clip: int
    method: str
    type: str
    question: str
    expected: str
    answer: str
    right: bool
    visual_retention: float
    kv_retention: float
    layers_discarded: int


def held_out(index: int) -> tuple[Clip, list[Question]]:
    """Clip `index` of the test split and its questions. Training draws its seeds under another name."""
    rng = random.Random(f"test:{index}")
    clip = sample_clip(rng)
    return clip, [sample_question(clip.scene, rng) for _ in range(QUESTIONS_PER_CLIP)]


def evaluate(questions: int, methods: Sequence[MethodName], folder: Path, profile: str) -> Iterator[Outcome]:
    """Ask `questions` held-out questions with every method, one loaded model for all."""
    given = resolve({}, {}, profile=profile).settings
    settings = {method: settings_of(method, given) for method in methods}
    loaded = load_model(settings[methods[0]])
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(math.ceil(questions / QUESTIONS_PER_CLIP)):
        clip, asked = held_out(index)
        path = folder / f"{index:05d}{clip.suffix}"
        if not path.exists():
            write(clip, path)
        # Methods differ in pruning only: one sampling serves them all.
        info, sample = decode_video(path, settings[methods[0]].sampling)
        for question in asked[: questions - index * QUESTIONS_PER_CLIP]:
            for method in methods:
                events = answer(loaded, info, sample, question.text, settings[method])
                result = next(e.answer for e in events if isinstance(e, Finished))
                yield _outcome(index, method, question, result)


def _outcome(clip: int, method: str, question: Question, result: Answer) -> Outcome:
    return Outcome(
        clip=clip,
        method=method,
        type=question.type,
        question=question.text,
        expected=question.answer,
        answer=result.text,
        right=is_right(result.text, question.answer),
        visual_retention=result.visual_retention,
        kv_retention=result.memory.kv_retention,
        layers_discarded=sum(not layer.visual_kv_kept for layer in result.layers),
    )


def table(outcomes: Sequence[Outcome], methods: Sequence[str]) -> str:
    """Markdown: one row a method, accuracy with its 95 % interval (Wilson), both budgets, accuracy by type."""
    types = [t for t in QUESTION_TYPES if any(o.type == t for o in outcomes)]
    lines = [
        "| method | right | 95 % | visual retention | KV retention | layers discarded | "
        + " | ".join(types)
        + " |",
        "|" + " --- |" * (6 + len(types)),
    ]
    for method in methods:
        mine = [o for o in outcomes if o.method == method]
        low, high = wilson(sum(o.right for o in mine), len(mine))
        shares = [_percent(o.right for o in mine if o.type == t) for t in types]
        budgets = [_percent(o.visual_retention for o in mine), _percent(o.kv_retention for o in mine)]
        layers = f"{sum(o.layers_discarded for o in mine) / len(mine):.1f}"
        cells = [
            method,
            _percent(o.right for o in mine),
            f"{100 * low:.1f}–{100 * high:.1f}",
            *budgets,
            layers,
        ]
        lines.append("| " + " | ".join([*cells, *shares]) + " |")
    return "\n".join(lines)


def wilson(right: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927): right also near 0 and 1, unlike the normal one."""
    share, spread = right / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return centre - half, centre + half


def _percent(values: Iterator[float] | Iterator[bool]) -> str:
    every = list(values)
    return f"{100 * sum(every) / len(every):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--methods", default="dense,visual,both", help=f"of {', '.join(METHODS)}")
    parser.add_argument("--profile", default="tiny")
    parser.add_argument(
        "--clips", type=Path, default=Path("shapesqa-test"), help="folder for the encoded clips"
    )
    parser.add_argument("--out", type=Path, help="write every outcome to this JSON lines file as it comes")
    args = parser.parse_args()
    methods = method_names(args.methods)
    outcomes = []
    with (args.out or Path(os.devnull)).open("w", encoding="utf-8") as log:
        for outcome in evaluate(args.questions, methods, args.clips, args.profile):
            outcomes.append(outcome)
            log.write(json.dumps(asdict(outcome)) + "\n")
    print(table(outcomes, methods))


if __name__ == "__main__":
    main()
