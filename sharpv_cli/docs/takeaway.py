"""The first page of docs/results.md: three curves, one table, and three sentences on where SharpV loses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from sharpv_cli.evaluation.methods import DENSE, FEWER_FRAMES, SHARPV
from sharpv_cli.evaluation.statistics import wilson
from sharpv_cli.report.curves import Dot, curves
from sharpv_cli.report.drawing import heading, picture
from sharpv_cli.report.eval_tables import percent, signed
from sharpv_cli.report.markdown import table
from sharpv_cli.report.pages import ThemeName
from sharpv_cli.types import Evaluation, Interval, MethodScore

_KIB = 1024
_TYPES = 5  # lines of their own
_Curve = Mapping[str, Any]


def pictures(curve: _Curve) -> Iterator[tuple[ThemeName, bytes]]:
    """The curves (a `sharpv.curve/1` document), whose digest they carry, on light and on dark paper."""
    hollow = "vertical lines: 95 % intervals; hollow: worse than dense, beyond chance"
    parts = [
        heading(
            "Right answers against what is kept",
            f"{curve['questions']} questions of {curve['dataset']} about {curve['videos']} clips; the built-in model",
        ),
        curves(
            "By method",
            hollow,
            ("visual tokens kept, %", "KV cache after the prefill, KiB"),
            _by_method(curve),
        ),
        curves("SharpV by type of question", hollow, ("visual tokens kept, %",), _by_type(curve)),
    ]
    for theme in get_args(ThemeName):
        title = "sharpv: right answers against budget"
        yield theme, picture(parts, "svg", theme, title=title, documents=[curve])


def _by_method(curve: _Curve) -> dict[str, list[Dot]]:
    lines: dict[str, list[Dot]] = {}
    for point in curve["points"]:
        budgets = (100 * point["visual_retention"], point["kv_bytes"] / _KIB)
        dot = Dot(budgets, point["accuracy"], Interval(**point["interval"]), _is_worse(point))
        lines.setdefault(point["method"], []).append(dot)
    return lines


def _by_type(curve: _Curve) -> dict[str, list[Dot]]:
    """Those that lose most at the smallest budget, and all others together."""
    mine = [point for point in curve["points"] if point["method"] == SHARPV]
    least = min(mine, key=lambda point: float(point["visual_retention"]))
    worst = sorted(least["groups"], key=lambda group: float(group["difference"]))[:_TYPES]
    lines: dict[str, list[Dot]] = {group["name"]: [] for group in worst}
    for point in mine:
        budget = (100 * point["visual_retention"],)
        for group in point["groups"]:
            if group["name"] in lines:
                lines[group["name"]].append(_dot(budget, [group], worse=_is_worse(group)))
    names = set(lines)
    lines["all others"] = [
        _dot((100 * point["visual_retention"],), [one for one in point["groups"] if one["name"] not in names])
        for point in mine
    ]
    return lines


def _dot(budget: tuple[float], groups: Sequence[Mapping[str, Any]], *, worse: bool = False) -> Dot:
    questions = sum(group["questions"] for group in groups)
    right = round(sum(group["accuracy"] * group["questions"] for group in groups))
    return Dot(budget, right / questions, wilson(right, questions), worse)


def _is_worse(told: Mapping[str, Any]) -> bool:
    return told["difference_interval"] is not None and told["difference_interval"]["high"] < 0


def methods_table(curve: _Curve) -> str:
    """Right answers by method and budget, and from which budget on each is worse than dense."""
    budgets = sorted({point["budget"] for point in curve["points"] if point["method"] != DENSE})
    right = {(point["method"], point["budget"]): percent(point["accuracy"]) for point in curve["points"]}
    heads = (
        f"right %, dense {right[DENSE, 1.0]}",
        *(f"{100 * budget:g} %" for budget in budgets),
        "worse than dense at, visual tokens", "KV entries",
    )  # fmt: skip
    rows = [
        (
            f"`{name}`",
            *(right[name, budget] for budget in budgets),
            *(_share(at[f"{kind}_worse_at"]) for kind in ("visual", "kv")),
        )
        for name, at in curve["leaves_dense"].items()
    ]
    return table(heads, "l" + "r" * (len(heads) - 1), rows)


def _share(value: float | None) -> str:
    return "never" if value is None else f"{percent(value)} %"


@dataclass(frozen=True, slots=True)
class _Compared:
    """SharpV and dense over the same questions, those that `name` has."""

    name: str
    difference: float
    interval: Interval

    @property
    def lost(self) -> str:
        low, high = -100 * self.interval.high, -100 * self.interval.low
        return f"{self.name} ({-100 * self.difference:.1f} points, {low:.1f} to {high:.1f})"


def losses(curve: _Curve, target: Evaluation, kinds: Sequence[Evaluation]) -> str:
    """Where SharpV loses: at which budget, in which questions of `target`, on which `kinds` of clips."""
    mine = _sharpv(target)
    budgets = [
        (f"{percent(point['visual_retention'])} % of the visual tokens", point)
        for point in curve["points"]
        if point["method"] == SHARPV
    ]
    types = [(f"`{group.name}`", asdict(group)) for group in mine.groups]
    clips = [(f"`{one.dataset}`", asdict(_sharpv(one))) for one in kinds]
    each = _span([one.questions for one in kinds])
    sentences = (
        _sentence("budgets", "with", _compared(budgets), f"{curve['questions']:,} questions each"),
        _sentence(
            "types of question", "in", _compared(types),
            f"{target.questions:,} questions, {percent(mine.visual_retention)} % of the visual tokens",
        ),
        _sentence("kinds of clip", "on", _compared(clips), f"{each} questions each"),
    )  # fmt: skip
    return "\n".join(f"{number}. {sentence}" for number, sentence in enumerate(sentences, 1))


def lead(found: Sequence[Evaluation]) -> str:
    """SharpV less whole frames at the same numbers of visual tokens, which are the baseline of each comparison."""
    questions = _span([one.questions for one in found])
    told = []
    for one in found:
        mine = _sharpv(one)
        assert one.baseline == FEWER_FRAMES and mine.difference is not None
        between = mine.difference_interval
        span = "" if between is None else f" ({signed(between.low)} to {signed(between.high)})"
        told.append(f"{signed(mine.difference)} points{span} at {int(one.match.partition(':')[2]):,}")
    return (
        f"At the same number of visual tokens a clip of `{found[0].dataset}`, SharpV with many frames less dense with "
        f"fewer: {', '.join(told)} tokens ({questions} questions each)."
    )


def _sharpv(evaluation: Evaluation) -> MethodScore:
    return next(score for score in evaluation.scores if score.method == SHARPV)


def _compared(named: Iterable[tuple[str, Mapping[str, Any]]]) -> list[_Compared]:
    return [
        _Compared(name, told["difference"], Interval(**told["difference_interval"]))
        for name, told in named
        if told["difference_interval"] is not None
    ]


def _sentence(what: str, where: str, compared: Sequence[_Compared], about: str) -> str:
    """Whatever is behind dense beyond chance, the most first."""
    behind = sorted((one for one in compared if one.interval.high < 0), key=lambda one: one.difference)
    told = [f"{where} {', '.join(one.lost for one in behind)}"] if behind else []
    if len(behind) < len(compared):
        told.append(f"{where} no other" if behind else f"{where} none")
    return f"Of {len(compared)} {what}, SharpV is behind dense beyond chance {' and '.join(told)} ({about})."


def _span(counts: Sequence[int]) -> str:
    """From the fewest to the most, where they differ."""
    return " to ".join(f"{count:,}" for count in dict.fromkeys((min(counts), max(counts))))
