"""Columns that fit a width: the least important are dropped, nothing ever wraps.

Rich's own Table wraps or squeezes cells when they do not fit, and its Bar needs a Unicode stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import ConsoleOptions
from rich.text import Text

GAP = 2  # cells between columns
MIN_BAR = 8  # cells; a shorter bar says less than its percentage


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters that depend on the stream. `blocks` fill a cell step by step, the last one fully."""

    blocks: str
    dash: str
    ellipsis: str
    mark: str
    track: str
    ascii_only: bool


UNICODE = Glyphs("▏▎▍▌▋▊▉█", "–", "…", "│", "─", ascii_only=False)
ASCII = Glyphs("#", "-", "...", "|", ".", ascii_only=True)


def glyphs_for(options: ConsoleOptions) -> Glyphs:
    """What the stream can show; the old Windows console has no eighth blocks in its fonts."""
    return ASCII if options.ascii_only or options.legacy_windows else UNICODE


@dataclass(frozen=True, slots=True)
class Column:
    """Cells of one column. Columns of a higher `rank` are dropped earlier; those of rank 0 never."""

    header: str
    cells: tuple[str, ...]
    rank: int = 0
    right: bool = False
    style: str = ""
    track: str = ""  # what a cell may end in that is not of its style

    @property
    def width(self) -> int:
        return max(cell_len(text) for text in (self.header, *self.cells))

    def text(self, row: int) -> Text:
        """Row `row` padded to the column's width, row 0 being the header."""
        value = (self.header, *self.cells)[row]
        pad = " " * (self.width - cell_len(value))
        if row and self.track:
            filled = value.rstrip(self.track)
            return Text.assemble((filled, self.style), (value.removeprefix(filled), "dim"), pad)
        return Text(pad + value if self.right else value + pad, style=self.style if row else "dim")


@dataclass(frozen=True, slots=True)
class BarColumn:
    """Ratios in [0, 1], drawn as bars over whatever width the other columns leave.

    Where `mark` is a ratio, a line through all rows stands at its place, headed by the header. A `track` shows where
    the ratio 1 is.
    """

    header: str
    ratios: tuple[float, ...]
    rank: int = 0
    style: str = ""
    mark: float | None = None
    track: bool = False
    width = MIN_BAR

    def drawn(self, width: int, glyphs: Glyphs) -> Column:
        bars = [bar(ratio, width, glyphs.blocks) for ratio in self.ratios]
        header = self.header if len(self.header) <= width else ""
        if self.mark is not None:
            place = min(int(self.mark * width), width - 1)
            bars = [_marked(text, place, glyphs.mark) for text in bars]
            header = " " * min(place, width - len(header)) + header
        track = glyphs.track if self.track else ""
        cells = (text.ljust(width, track) if track else text for text in bars)
        return Column(set_cell_size(header, width), tuple(cells), style=self.style, track=track)


def _marked(text: str, place: int, mark: str) -> str:
    return f"{text[:place]:<{place}}{mark}{text[place + 1 :]}"


def bar(ratio: float, width: int, blocks: str) -> str:
    """A bar of at most `width` cells. Only 0 is empty and only 1 is full, however the rounding falls."""
    steps = width * len(blocks)
    filled = round(ratio * steps)
    filled = filled if ratio >= 1 else min(filled, steps - 1)
    filled = filled if ratio <= 0 else max(filled, 1)
    whole, part = divmod(filled, len(blocks))
    return blocks[-1] * whole + (blocks[part - 1] if part else "")


def table(columns: Sequence[Column | BarColumn], width: int, glyphs: Glyphs) -> list[Text]:
    """The header's line and one line a row, none wider than `width` cells."""
    shown = list(columns)
    while natural_width(shown) > width and any(column.rank for column in shown):
        shown.remove(max(shown, key=lambda column: column.rank))
    spare = width - natural_width(shown)
    drawn = [
        column.drawn(column.width + spare, glyphs) if isinstance(column, BarColumn) else column
        for column in shown
    ]
    rows = range(1 + len(drawn[0].cells))
    return [cut(_joined([column.text(row) for column in drawn]), width, glyphs) for row in rows]


def natural_width(columns: Sequence[Column | BarColumn]) -> int:
    """Cells that `columns` take with their gaps, bars at their shortest."""
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)


def _joined(cells: Sequence[Text]) -> Text:
    line = Text(" " * GAP).join(cells)
    line.rstrip()
    return line


def cut(line: Text, width: int, glyphs: Glyphs) -> Text:
    """`line` itself where it fits in `width` cells, else its beginning and an ellipsis."""
    if line.cell_len > width:
        line.truncate(width - len(glyphs.ellipsis))
        line.append(glyphs.ellipsis)
    line.no_wrap, line.overflow = True, "ignore"
    return line
