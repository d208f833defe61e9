"""An evaluation as one picture: how often each method was right, how sure that is, and at what budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sharpv_cli.report.drawing import (
    ROOM,
    Part,
    Sheet,
    Theme,
    heading,
    note,
    picture,
    rows,
    titled,
)
from sharpv_cli.report.eval_tables import facts, notes, percent
from sharpv_cli.report.pages import ThemeName
from sharpv_cli.types import Evaluation, MethodScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "os^Dv<>PX"  # not as many as there are colours, so that pairs of them differ for longer
_COLUMNS = (("right %", 0.3), ("visual %", 0.56), ("KV %", 0.78))  # heads, and where they end beside the plot
_BUDGETS = (("visual_retention", "visual retention, %"), ("kv_retention", "KV retention, %"))


def eval_picture(
    evaluation: Evaluation, document: Mapping[str, object], *, kind: str, theme: ThemeName
) -> bytes:
    """`document` is the evaluation's, whose digest the picture carries."""
    title = "sharpv: right answers by pruning method"
    return picture(list(_parts(evaluation)), kind, theme, title=title, documents=[document])


def _parts(evaluation: Evaluation) -> Iterator[Part]:
    told = dict(facts(evaluation))
    yield heading(
        f"Right answers on {evaluation.dataset}",
        f"questions: {told['questions']}; model: {told['model']}",
        f"budgets: {told.get('budgets', evaluation.match)}",
    )
    if not evaluation.scores:
        yield note("no question was answered by every method")
        return
    yield _methods(evaluation.scores)
    yield _against_budget(evaluation.scores)
    yield from (note(text) for text in notes(evaluation)[1:])


def _methods(scores: Sequence[MethodScore]) -> Part:
    """A row a method: its accuracy with the interval, and both budgets."""
    least = min(score.interval.low for score in scores)
    low = max(0.0, 100 * least - 3)
    span = 100 - low

    def draw(axes: Axes, theme: Theme) -> None:
        for row, score in enumerate(scores):
            colour = theme.accent if row == 0 else theme.ink
            axes.plot([low, 100], [row, row], color=theme.track, linewidth=1, zorder=0)
            axes.plot(
                [100 * score.interval.low, 100 * score.interval.high], [row, row], color=colour, linewidth=2.4
            )
            axes.plot([100 * score.accuracy], [row], "o", color=colour, markersize=7)
            for (_, place), text in zip(_COLUMNS, _figures(score), strict=True):
                axes.text(100 + place * span, row, text, va="center", ha="right", color=theme.ink)
        for head, place in _COLUMNS:
            axes.text(100 + place * span, -0.85, head, va="center", ha="right", color=theme.faint)
        axes.set(xlim=(low, 100 + _COLUMNS[-1][1] * span), ylim=(len(scores) - 0.4, -1.2))
        axes.set_xticks([tick for tick in axes.get_xticks() if low <= tick <= 100])
        axes.set_xlabel("right answers, %", loc="left")
        axes.spines["bottom"].set_bounds(low, 100)

    height, drawn = rows([score.method for score in scores], draw, step=0.34)
    told = "dot: share that was right; line: 95 % interval; visual and KV: retention"
    return titled("Methods", told, height + 0.55, drawn)


def _figures(score: MethodScore) -> tuple[str, ...]:
    shares = (score.accuracy, score.visual_retention, score.kv_retention)
    return tuple(map(percent, shares))


def _against_budget(scores: Sequence[MethodScore]) -> Part:
    """Accuracy against each of the two budgets, which are never mixed; values of one method are joined by a line."""
    named = _by_method(scores)

    def draw(sheet: Sheet, top: float) -> None:
        for place, (budget, label) in enumerate(_BUDGETS):
            axes = sheet.axes(top + place * 2.75 + 0.1, 2.0, 0.75, ROOM - 0.75)
            for index, (name, points) in enumerate(named.items()):
                _line(axes, points, budget, name, sheet.theme, index)
            axes.set(xlabel=label, ylabel="right, %")
            axes.grid(axis="y", color=sheet.theme.line, linewidth=0.6)
            _scale(axes, [100 * getattr(score, budget) for score in scores])
        handles, labels = axes.get_legend_handles_labels()
        legend = sheet.axes(top + 5.45, lines * 0.24, 0.0, ROOM)
        legend.axis("off")
        legend.legend(handles, labels, ncols=3, loc="upper left", borderpad=0, columnspacing=1.2)

    lines = -(-len(named) // 3)
    told = "vertical lines: 95 % intervals; a method at several settings is one line"
    return titled("Right answers against budget", told, 5.45 + lines * 0.24, draw)


def _by_method(scores: Sequence[MethodScore]) -> Mapping[str, list[MethodScore]]:
    """The settings of a method, such as those of a sweep, under its name."""
    found: dict[str, list[MethodScore]] = {}
    for score in scores:
        found.setdefault(score.method.partition(":")[0], []).append(score)
    return found


def _line(
    axes: Axes, points: Sequence[MethodScore], budget: str, name: str, theme: Theme, index: int
) -> None:
    ordered = sorted(points, key=lambda score: float(getattr(score, budget)))
    accuracy = [100 * score.accuracy for score in ordered]
    below = [100 * max(0.0, score.accuracy - score.interval.low) for score in ordered]  # not by rounding
    above = [100 * max(0.0, score.interval.high - score.accuracy) for score in ordered]
    axes.errorbar(
        [100 * getattr(score, budget) for score in ordered], accuracy, yerr=(below, above), label=name,
        color=theme.series[index % len(theme.series)], marker=_MARKERS[index % len(_MARKERS)],
        markersize=6, linewidth=1.6, elinewidth=1.2,
    )  # fmt: skip


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Plain percentages on a scale of ratios, which has no place for a budget of nothing."""
    low, high = min(values), max(values)
    if low <= 0:
        return
    axes.set_xscale("log")
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100) if low / 1.4 <= tick <= high * 1.4]
    axes.set_xlim(low / 1.25, high * 1.25)
    axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
