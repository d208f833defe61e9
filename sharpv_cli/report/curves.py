"""Right answers against budgets, as lines with intervals: part of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpv_cli.report.drawing import ROOM, Part, Sheet, Theme, titled
from sharpv_cli.types import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "os^Dv<>PX"  # not as many as there are colours, so that pairs of them differ for longer
_HEIGHT, _STEP, _LEFT, _LEGEND = 2.0, 2.75, 0.75, 0.24  # inches


@dataclass(frozen=True, slots=True)
class Dot:
    """`budgets` are one for each of the axes; `worse` than what it is compared with is drawn hollow."""

    budgets: tuple[float, ...]
    accuracy: float
    interval: Interval
    worse: bool = False


def curves(title: str, told: str, labels: Sequence[str], lines: Mapping[str, Sequence[Dot]]) -> Part:
    """Axes below each other, one a budget with its label; what is named alike in `lines` is joined."""

    def draw(sheet: Sheet, top: float) -> None:
        for place, label in enumerate(labels):
            axes = sheet.axes(top + place * _STEP + 0.1, _HEIGHT, _LEFT, ROOM - _LEFT)
            for index, (name, dots) in enumerate(lines.items()):
                _line(axes, sorted(dots, key=lambda dot: dot.budgets[place]), place, name, sheet.theme, index)
            axes.set(xlabel=label, ylabel="right, %")
            axes.grid(axis="y", color=sheet.theme.line, linewidth=0.6)
            _scale(axes, [dot.budgets[place] for dots in lines.values() for dot in dots])
        legend = sheet.axes(top + below, rows * _LEGEND, 0.0, ROOM)
        legend.axis("off")
        shown = axes.get_legend_handles_labels()
        legend.legend(*shown, ncols=3, loc="upper left", borderpad=0, columnspacing=1.2)

    rows, below = -(-len(lines) // 3), _STEP * len(labels) - 0.05
    return titled(title, told, below + rows * _LEGEND, draw)


def _line(axes: Axes, dots: Sequence[Dot], place: int, name: str, theme: Theme, index: int) -> None:
    budgets, accuracy = [dot.budgets[place] for dot in dots], [100 * dot.accuracy for dot in dots]
    below = [100 * max(0.0, dot.accuracy - dot.interval.low) for dot in dots]  # not by rounding
    above = [100 * max(0.0, dot.interval.high - dot.accuracy) for dot in dots]
    colour, marker = theme.series[index % len(theme.series)], _MARKERS[index % len(_MARKERS)]
    axes.errorbar(
        budgets, accuracy, yerr=(below, above), label=name, color=colour, marker=marker, markersize=6,
        linewidth=1.6, elinewidth=1.2,
    )  # fmt: skip
    worse = [number for number, dot in enumerate(dots) if dot.worse]
    hollow = [budgets[number] for number in worse], [accuracy[number] for number in worse]
    axes.plot(*hollow, marker, markersize=6, markerfacecolor=theme.paper, color=colour, zorder=3)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Plain numbers on a scale of ratios, which has no place for a budget of nothing."""
    low, high = min(values), max(values)
    if low <= 0:
        return
    axes.set_xscale("log")
    round_ones = [digit * 10**power for power in range(6) for digit in (1, 2, 5)]
    ticks = [tick for tick in round_ones if low / 1.4 <= tick <= high * 1.4]
    axes.set_xlim(low / 1.25, high * 1.25)
    axes.set_xticks(ticks, labels=[f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
