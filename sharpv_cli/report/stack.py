"""Stacked bars: what a whole is made of, told apart by fill as well as by colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from rich.cells import cell_len
from rich.text import Text

from sharpv_cli.report.layout import GAP, MIN_BAR, Glyphs, cut

_FILLS = "╌░▒▚█▓"
_ASCII_FILLS = ".:-+#="
_STYLES = ("dim", "blue", "blue", "magenta", "cyan", "dim green")


@dataclass(frozen=True, slots=True)
class Stack:
    """One bar: its parts in the order of the legend, and what is written at its end."""

    label: str
    parts: tuple[float, ...]
    total: str


def stack_lines(stacks: Sequence[Stack], names: Sequence[str], width: int, glyphs: Glyphs) -> list[Text]:
    """A line a bar, all on the scale of the longest, then the legend. Parts under half a cell do not show."""
    assert len(names) <= len(_FILLS) and all(len(stack.parts) == len(names) for stack in stacks)
    fills = _ASCII_FILLS if glyphs.ascii_only else _FILLS
    label_width = max(cell_len(stack.label) for stack in stacks)
    total_width = max(len(stack.total) for stack in stacks)
    cells = max(MIN_BAR, width - label_width - total_width - 2 * GAP)
    longest = max(sum(stack.parts) for stack in stacks)
    lines = []
    for stack in stacks:
        bar = _bar(stack.parts, cells / longest if longest else 0.0, fills)
        bar.pad_right(cells - bar.cell_len)
        line = Text(f"{stack.label:<{label_width}}{' ' * GAP}")
        line.append_text(bar).append(f"{' ' * GAP}{stack.total:>{total_width}}")
        lines.append(cut(line, width, glyphs))
    return [*lines, *_legend(names, fills, width, glyphs)]


def _bar(parts: Sequence[float], scale: float, fills: str) -> Text:
    """The ends of the parts are rounded, not their lengths, so that they add up to the whole."""
    ends = [round(end * scale) for end in accumulate(parts, initial=0.0)]
    bar = Text()
    for (start, end), fill, style in zip(pairwise(ends), fills, _STYLES, strict=False):
        bar.append(fill * (end - start), style)
    return bar


def _legend(names: Sequence[str], fills: str, width: int, glyphs: Glyphs) -> Iterator[Text]:
    line = Text()
    for name, fill, style in zip(names, fills, _STYLES, strict=False):
        entry = Text.assemble((fill, style), (f" {name}", "dim"))
        if line.cell_len and line.cell_len + GAP + entry.cell_len > width:
            yield cut(line, width, glyphs)
            line = Text()
        line.append(" " * GAP if line.cell_len else "").append_text(entry)
    yield cut(line, width, glyphs)
