"""An evaluation as one picture: how often each method was right, how sure that is, and at what budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sharpv_cli.report.curves import Dot, curves
from sharpv_cli.report.drawing import (
    Part,
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

_COLUMNS = (("right %", 0.3), ("visual %", 0.56), ("KV %", 0.78))  # heads, and where they end beside the plot


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
    """Accuracy against each of the two budgets, which are never mixed; the settings of a method are one line."""
    lines: dict[str, list[Dot]] = {}
    for score in scores:
        budgets = (100 * score.visual_retention, 100 * score.kv_retention)
        dot = Dot(budgets, score.accuracy, score.interval)
        lines.setdefault(score.method.partition(":")[0], []).append(dot)
    told = "vertical lines: 95 % intervals; a method at several settings is one line"
    labels = ("visual retention, %", "KV retention, %")
    return curves("Right answers against budget", told, labels, lines)
