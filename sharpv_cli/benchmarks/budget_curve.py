"""Right answers against the budget: `python -m sharpv_cli.benchmarks.budget_curve shapes --limit 1000 -o FOLDER`.

Every method but dense keeps the same share of each clip's visual tokens, from 3 % to 50 %, SharpV by the scale that is
found for the clip. FOLDER gets a results file for each budget, from which a rerun goes on, `curve.json` with a point
for each method and budget, and `curve.md`. Visual tokens and KV bytes are apart in each point: the same answers make
both curves. A method has left dense where the interval of its difference, paired by question, lies below zero.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sharpv_cli.benchmarks.evaluating import evaluate
from sharpv_cli.files import write_whole
from sharpv_cli.types import Evaluation, GroupScore, Interval

SCHEMA = "sharpv.curve/1"
BUDGETS = (0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5)
METHODS = "sharpv,visual,dense-fewer-frames,vidcom2,evs,stride,random-dagger,fastv"


@dataclass(frozen=True, slots=True)
class Point:
    """One method at one budget. Shares lie in 0 to 1; `difference` is to dense, over the same questions."""

    method: str
    budget: float
    accuracy: float
    interval: Interval
    difference: float | None
    difference_interval: Interval | None
    visual_retention: float
    visual_tokens: float | None
    kv_retention: float
    kv_bytes: float | None
    groups: tuple[GroupScore, ...]


def points_of(evaluation: Evaluation, budget: float) -> list[Point]:
    """Of every method in a comparison; dense keeps everything at any budget."""
    return [
        Point(
            method=score.method,
            budget=1.0 if score.method == "dense" else budget,
            accuracy=score.accuracy,
            interval=score.interval,
            difference=score.difference,
            difference_interval=score.difference_interval,
            visual_retention=score.visual_retention,
            visual_tokens=score.visual_tokens,
            kv_retention=score.kv_retention,
            kv_bytes=score.kv_bytes,
            groups=score.groups,
        )
        for score in evaluation.scores
    ]


def leaves_dense(points: Iterable[Point], method: str) -> dict[str, float | None]:
    """Where a method's curve leaves dense, from the right: the largest share at which it is worse, and the next larger.

    `worse_at` is None where it never is, `equal_from` where it is worse at the largest share; by visual tokens and KV
    entries apart.
    """
    mine = [p for p in points if p.method == method and p.difference_interval is not None]
    found: dict[str, float | None] = {}
    for name in ("visual", "kv"):
        worse, equal = None, None
        for point in sorted(mine, key=lambda p: -getattr(p, f"{name}_retention")):
            assert point.difference_interval is not None
            if point.difference_interval.high < 0:
                worse = getattr(point, f"{name}_retention")
                break
            equal = getattr(point, f"{name}_retention")
        found |= {f"{name}_worse_at": worse, f"{name}_equal_from": equal}
    return found


def curve(evaluation: Evaluation, points: Sequence[Point]) -> dict[str, Any]:
    """The document: what was asked, a point for each method and budget, and where each leaves dense."""
    methods = list(dict.fromkeys(point.method for point in points))
    return {
        "schema": SCHEMA,
        "dataset": evaluation.dataset,
        "model": evaluation.model,
        "device": evaluation.device,
        "questions": evaluation.questions,
        "videos": evaluation.videos,
        "baseline": "dense",
        "points": [asdict(point) for point in points],
        "leaves_dense": {name: leaves_dense(points, name) for name in methods if name != "dense"},
    }


def markdown(document: Mapping[str, Any]) -> str:
    """A row for each method and budget, then where each leaves dense."""
    lines = [
        f"`{document['dataset']}`, {document['questions']} questions about {document['videos']} videos, "
        f"`{document['model']}` on {document['device']}",
        "",
        "| method | budget % | right % | less dense | 95 % | visual tokens % | KV entries % | KV KiB |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for point in document["points"]:
        paired = point["difference_interval"]
        lines.append(
            f"| `{point['method']}` | {100 * point['budget']:g} | {100 * point['accuracy']:.1f} | "
            f"{'' if point['difference'] is None else format(100 * point['difference'], '+.1f')} | "
            f"{'' if paired is None else _span(paired)} | {100 * point['visual_retention']:.1f} | "
            f"{100 * point['kv_retention']:.1f} | {_kib(point['kv_bytes'])} |"
        )
    lines += ["", "| method | leaves dense at visual % | at KV % |", "| :--- | ---: | ---: |"]
    for name, at in document["leaves_dense"].items():
        lines.append(f"| `{name}` | {_share(at['visual_worse_at'])} | {_share(at['kv_worse_at'])} |")
    return "\n".join(lines) + "\n"


def _span(interval: Mapping[str, float]) -> str:
    return f"{100 * interval['low']:+.1f} to {100 * interval['high']:+.1f}"


def _kib(size: float | None) -> str:
    return "" if size is None else str(round(size / 1024))


def _share(value: float | None) -> str:
    return "never" if value is None else f"{100 * value:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder")
    parser.add_argument("--methods", default=METHODS, help="beside dense")
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)), help="shares of the visual tokens")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--profile")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--clips", type=Path)
    args = parser.parse_args(arguments)
    flags = {"seen": "off", **({} if args.frames is None else {"frames": args.frames})}

    def asked(methods: str, match: str, results: Path) -> Evaluation:
        options = {"profile": args.profile, "flags": flags, "limit": args.limit, "clips": args.clips}
        return evaluate(args.dataset, methods, results, match=match, **options)

    args.out.mkdir(parents=True, exist_ok=True)
    dense = args.out / "dense.jsonl"
    asked("dense", "sharpv", dense)
    points: list[Point] = []
    for budget in map(float, args.budgets.split(",")):
        results = args.out / f"{budget:g}.jsonl"
        if not results.exists():
            shutil.copyfile(dense, results)  # dense is asked once
        evaluation = asked(f"dense,{args.methods}", f"all:{budget:g}", results)
        points += [point for point in points_of(evaluation, budget) if point.method != "dense" or not points]
    document = curve(evaluation, points)
    write_whole(args.out / "curve.json", json.dumps(document, indent=1).encode())
    write_whole(args.out / "curve.md", markdown(document).encode())
    print(markdown(document), end="")


if __name__ == "__main__":
    main()
