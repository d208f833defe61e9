"""Right answers against the budget: `python -m sharpv_cli.benchmarks.budget_curve shapes --limit 1000 -o FOLDER`.

Every method but dense keeps the same share of each clip's visual tokens, from 3 % to 50 %, SharpV by the scale that is
found for the clip. FOLDER gets a results file for each budget, from which a rerun goes on, `curve.json` with a point
for each method and budget, and `curve.md`. Visual tokens and KV bytes are apart in each point: the same answers make
both curves. A method has left dense where the interval of its difference, paired by question, lies below zero.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sharpv_cli.benchmarks.evaluating import evaluate
from sharpv_cli.evaluation.methods import DENSE
from sharpv_cli.files import write_whole
from sharpv_cli.report.eval_tables import percent, signed
from sharpv_cli.report.markdown import table
from sharpv_cli.types import Evaluation, Interval, MethodScore

SCHEMA = "sharpv.curve/1"
BUDGETS = (0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5)
_POINT = (
    "accuracy", "interval", "difference", "difference_interval", "visual_retention", "visual_tokens",
    "kv_retention", "kv_bytes", "groups",
)  # fmt: skip
METHODS = "sharpv,visual,dense-fewer-frames,vidcom2,evs,stride,random-dagger,fastv"


def leaves_dense(scores: Iterable[MethodScore], method: str) -> dict[str, Any]:
    """Where a method's curve leaves dense, from the right: the largest share at which it is worse, and the next larger.

    `worse_at` is None where it never is, `equal_from` where it is worse at the largest share; by visual tokens and KV
    entries apart, and for each type of question by visual tokens.
    """
    mine = [score for score in scores if score.method == method]
    found: dict[str, Any] = {}
    for name in ("visual", "kv"):
        shares = [(getattr(score, f"{name}_retention"), score.difference_interval) for score in mine]
        found[f"{name}_worse_at"], found[f"{name}_equal_from"] = _leaves(shares)
    by_type: dict[str, list[tuple[float, Interval | None]]] = {}
    for score in mine:
        for group in score.groups:
            by_type.setdefault(group.name, []).append((score.visual_retention, group.difference_interval))
    return {**found, "types_worse_at": {name: _leaves(shares)[0] for name, shares in by_type.items()}}


def _leaves(shares: Iterable[tuple[float, Interval | None]]) -> tuple[float | None, float | None]:
    """The largest share whose difference lies below zero, and the next larger one."""
    equal = None
    for share, interval in sorted(shares, key=lambda one: -one[0]):
        if interval is not None and interval.high < 0:
            return share, equal
        equal = share if interval is not None else equal
    return None, equal


def scores_of(evaluations: Mapping[float, Evaluation]) -> list[tuple[float, MethodScore]]:
    """Of every method at every budget; dense, which keeps everything at any, once."""
    every = [(budget, score) for budget, one in evaluations.items() for score in one.scores]
    dense = next((1.0, score) for _, score in every if score.method == DENSE)
    return [dense, *((budget, score) for budget, score in every if score.method != DENSE)]


def curve(evaluations: Mapping[float, Evaluation]) -> dict[str, Any]:
    """The document of comparisons by budget: a point for each method and budget, and where each leaves dense."""
    told, points = next(iter(evaluations.values())), scores_of(evaluations)
    scores = [score for _, score in points]
    methods = dict.fromkeys(score.method for score in scores if score.method != DENSE)
    return {
        "schema": SCHEMA,
        **{key: getattr(told, key) for key in ("dataset", "model", "device", "questions", "videos")},
        "baseline": DENSE,
        "points": [
            {"method": score.method, "budget": budget} | {key: asdict(score)[key] for key in _POINT}
            for budget, score in points
        ],
        "leaves_dense": {name: leaves_dense(scores, name) for name in methods},
    }


def markdown(document: Mapping[str, Any]) -> str:
    """A row for each method and budget, then where each leaves dense."""
    about = (
        f"`{document['dataset']}`, {document['questions']} questions about {document['videos']} videos, "
        f"`{document['model']}` on {document['device']}"
    )
    heads = (
        "method", "budget %", "right %", "less dense", "95 %", "visual tokens %", "KV entries %", "KV KiB",
    )  # fmt: skip
    left = document["leaves_dense"]
    types = list(next(iter(left.values()))["types_worse_at"])
    at = [
        (f"`{name}`", _share(one["visual_worse_at"]), _share(one["kv_worse_at"]))
        for name, one in left.items()
    ]
    by_type = [
        (f"`{kind}`", *(_share(one["types_worse_at"][kind]) for one in left.values())) for kind in types
    ]
    tables = (
        table(heads, "l" + "r" * 7, map(_row, document["points"])),
        table(("method", "leaves dense at visual %", "at KV %"), "lrr", at),
        table(("leaves dense at visual %", *(f"`{name}`" for name in left)), "l" + "r" * len(left), by_type),
    )
    return "\n\n".join((about, *tables)) + "\n"


def _row(point: Mapping[str, Any]) -> tuple[str, ...]:
    paired = point["difference_interval"]
    return (
        f"`{point['method']}`",
        f"{100 * point['budget']:g}",
        percent(point["accuracy"]),
        "" if point["difference"] is None else signed(point["difference"]),
        "" if paired is None else f"{signed(paired['low'])} to {signed(paired['high'])}",
        percent(point["visual_retention"]),
        percent(point["kv_retention"]),
        "" if point["kv_bytes"] is None else str(round(point["kv_bytes"] / 1024)),
    )


def _share(value: float | None) -> str:
    return "never" if value is None else percent(value)


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

    args.out.mkdir(parents=True, exist_ok=True)
    evaluations: dict[float, Evaluation] = {}
    for budget in map(float, args.budgets.split(",")):
        evaluations[budget] = evaluate(
            args.dataset,
            f"dense,{args.methods}",
            args.out / f"{budget:g}.jsonl",
            match=f"all:{budget:g}",
            profile=args.profile,
            flags=flags,
            limit=args.limit,
            clips=args.clips,
            earlier=[args.out / f"{before:g}.jsonl" for before in evaluations],  # dense is asked once
        )
    document = curve(evaluations)
    write_whole(args.out / "curve.json", json.dumps(document, indent=1).encode())
    write_whole(args.out / "curve.md", markdown(document).encode())
    print(markdown(document), end="")


if __name__ == "__main__":
    main()
