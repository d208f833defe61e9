"""Pictures of a run, drawn with matplotlib: parts below each other, on light or on dark paper.

Sizes are inches. Foreign text is drawn as it stands: matplotlib reads mathematics in no text of ours.
"""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, chop_cells

from sharpv_cli import __version__
from sharpv_cli.report.pages import ThemeName
from sharpv_cli.text import dump, printable

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells stderr of its font cache

import matplotlib  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, MARGIN = 8.0, 0.4
ROOM = WIDTH - 2 * MARGIN
GAP = 0.34  # between parts
TEXT, SMALL, HEAD = 12.5, 11.0, 18.0  # points; legible where the picture is half as wide
_LONGEST = 30  # characters of a row's label
_DOTS = 200  # an inch, of a PNG
_CELL = 0.54  # of a character's width to its size


@dataclass(frozen=True, slots=True)
class Theme:
    """`series` tell methods apart, also for those who see few colours."""

    paper: str
    ink: str
    faint: str
    line: str
    track: str
    accent: str
    mark: str
    calm: str
    series: tuple[str, ...]


THEMES: Mapping[str, Theme] = {
    "light": Theme(
        "#ffffff", "#1c2128", "#57606a", "#d0d7de", "#e4e8ec", "#0b7285", "#b3470b", "#8496a8",
        ("#0b7285", "#b3470b", "#5b3fa8", "#8a6d00", "#1f6f3a", "#a8326a", "#57606a", "#2458a6"),
    ),
    "dark": Theme(
        "#0d1117", "#e6edf3", "#9aa4af", "#30363d", "#262c34", "#39c5cf", "#ffa657", "#6e7f91",
        ("#39c5cf", "#ffa657", "#bc8cff", "#e3c341", "#56d364", "#f778ba", "#9aa4af", "#79b8ff"),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sheet:
    """What parts are drawn on; `top` is how far from its upper edge a part begins."""

    figure: Figure
    theme: Theme

    def axes(self, top: float, height: float, left: float = 0.0, width: float | None = None) -> Axes:
        """Axes at a place within the margins, with as few lines as can be."""
        whole = self.figure.get_figheight()
        room = (MARGIN + left) / WIDTH, 1 - (top + height) / whole
        axes = self.figure.add_axes(
            (*room, (ROOM - left if width is None else width) / WIDTH, height / whole)
        )
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
        return axes

    def text(
        self,
        top: float,
        text: str,
        *,
        left: float = 0.0,
        size: float = TEXT,
        ink: str = "ink",
        **more: Any,
    ) -> None:
        """`text` with its upper edge at `top`; what would move a cursor in it is spelt out."""
        place = (MARGIN + left) / WIDTH, 1 - top / self.figure.get_figheight()
        colour = getattr(self.theme, ink)
        self.figure.text(*place, printable(text), fontsize=size, color=colour, va="top", **more)


Draw = Callable[[Sheet, float], None]


@dataclass(frozen=True, slots=True)
class Part:
    """`height` inches of a picture, drawn from `top` on."""

    height: float
    draw: Draw


def picture(
    parts: Sequence[Part],
    kind: str,
    theme: ThemeName,
    *,
    title: str,
    documents: Sequence[Mapping[str, object]],
) -> bytes:
    """An SVG or PNG of the parts. It carries the digest of the documents that it shows."""
    told = {"Title": title, "Description": f"{digest_of(documents)}"}
    own = {"Creator": _creator(), "Date": None} if kind == "svg" else {"Software": _creator()}
    out = io.BytesIO()
    with matplotlib.rc_context(_settings(THEMES[theme])), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # of writing that no font here has
        figure_of(parts, THEMES[theme]).savefig(out, format=kind, dpi=_DOTS, metadata={**told, **own})
    return out.getvalue()


def digest_of(documents: Sequence[Mapping[str, object]]) -> str:
    """Of JSON documents, however they are laid out in a file."""
    text = "\n".join(dump(document) for document in documents)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _creator() -> str:
    return f"sharpv {__version__}"


def _settings(theme: Theme) -> dict[Any, Any]:
    """All of matplotlib's, so that nobody's own file of them changes a picture."""
    defaults = {
        key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")
    }
    return {
        **defaults,
        "figure.facecolor": theme.paper,
        "savefig.facecolor": theme.paper,
        "axes.facecolor": "none",
        "axes.edgecolor": theme.line,
        "axes.labelcolor": theme.faint,
        "axes.labelsize": SMALL,
        "axes.titlesize": TEXT,
        "axes.titlelocation": "left",
        "axes.titlecolor": theme.ink,
        "font.size": SMALL,
        "text.color": theme.ink,
        "text.parse_math": False,
        "xtick.color": theme.line,
        "ytick.color": theme.line,
        "xtick.labelcolor": theme.faint,
        "ytick.labelcolor": theme.faint,
        "hatch.color": theme.calm,
        "hatch.linewidth": 1.2,
        "legend.frameon": False,
        "legend.fontsize": SMALL,
        "legend.labelcolor": theme.faint,
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "sharpv",
    }


def figure_of(parts: Sequence[Part], theme: Theme) -> Figure:
    """The parts below each other, with a margin around them."""
    height = 2 * MARGIN + sum(part.height for part in parts) + GAP * (len(parts) - 1)
    sheet, top = Sheet(Figure(figsize=(WIDTH, height)), theme), MARGIN
    for part in parts:
        part.draw(sheet, top)
        top += part.height + GAP
    return sheet.figure


def heading(head: str, *below: str) -> Part:
    """Large words, and faint lines below; what is longer than two lines loses its end."""
    large, small = (
        lines_of(head, HEAD * 1.14, 3),
        [line for text in below for line in lines_of(text, TEXT, 2)],
    )
    steps = [HEAD * 1.3 / 72] * len(large) + [TEXT * 1.45 / 72] * len(small)

    def draw(sheet: Sheet, top: float) -> None:
        for index, (line, step) in enumerate(zip((*large, *small), steps, strict=True)):
            first = index < len(large)
            weight = "bold" if first else "normal"
            sheet.text(
                top, line, size=HEAD if first else TEXT, ink="ink" if first else "faint", weight=weight
            )
            top += step

    return Part(sum(steps), draw)


def titled(title: str, told: str, height: float, draw: Draw) -> Part:
    """A part with a title, and a faint line below it where there is one."""
    lines = lines_of(told, SMALL, 2) if told else []
    above = TEXT * 1.6 / 72 + len(lines) * SMALL * 1.5 / 72

    def whole(sheet: Sheet, top: float) -> None:
        sheet.text(top, title, weight="bold")
        for index, line in enumerate(lines):
            sheet.text(top + (TEXT * 1.6 + index * SMALL * 1.5) / 72, line, size=SMALL, ink="faint")
        draw(sheet, top + above)

    return Part(above + height, whole)


def note(text: str) -> Part:
    """Faint lines, at most three."""
    lines, step = lines_of(text, SMALL, 3), SMALL * 1.5 / 72

    def draw(sheet: Sheet, top: float) -> None:
        for index, line in enumerate(lines):
            sheet.text(top + index * step, line, size=SMALL, ink="faint")

    return Part(len(lines) * step, draw)


def lines_of(text: str, size: float, most: int) -> list[str]:
    """At most so many lines as wide as the picture; wide characters count twice."""
    room = int(ROOM * 72 / (size * _CELL))
    lines = [""]
    for word in (piece for part in printable(text).split() for piece in chop_cells(part, room)):
        if cell_len(lines[-1]) + 1 + cell_len(word) <= room or not lines[-1]:
            lines[-1] = f"{lines[-1]} {word}".strip()
        else:
            lines.append(word)
    return lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1][: room - 1]}…"]


def rows(
    labels: Sequence[str],
    draw: Callable[[Axes, Theme], None],
    *,
    step: float = 0.3,
    left: float | None = None,
) -> tuple[float, Draw]:
    """Lying rows with their labels on the left, the first one on top: their height, and what draws them."""
    left = left or max(1.35, SMALL * 0.6 / 72 * min(_LONGEST, max(map(len, labels), default=0)) + 0.1)

    def drawn(sheet: Sheet, top: float) -> None:
        axes = sheet.axes(top, step * len(labels), left=left)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        label_rows(axes, labels)
        draw(axes, sheet.theme)

    return step * len(labels), drawn


def label_rows(axes: Axes, labels: Iterable[str]) -> None:
    texts = [label if len(label) <= _LONGEST else f"{label[:_LONGEST]}…" for label in map(printable, labels)]
    axes.set_yticks(range(len(texts)), labels=texts)
