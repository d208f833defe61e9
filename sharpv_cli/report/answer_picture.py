"""What was kept of a video as one picture: the frames, the layers, the time; as on the report page, but still."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import LineCollection
from numpy.typing import NDArray
from PIL import Image

from sharpv_cli.report import figures
from sharpv_cli.report.contact_sheet import veiled
from sharpv_cli.report.document import Asked
from sharpv_cli.report.drawing import (
    ROOM,
    SMALL,
    Draw,
    Part,
    Sheet,
    Theme,
    heading,
    note,
    picture,
    rows,
    titled,
)
from sharpv_cli.report.figures import Stage, clock_of
from sharpv_cli.report.pages import ThemeName
from sharpv_cli.report.sizes import format_bytes, format_percent
from sharpv_cli.types import Answer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_FRAMES, COLUMNS = 16, 4
_GUTTER, _BELOW = 0.14, 0.42  # between frames; for a frame's bar and caption
_SIDE = 320  # pixels of a frame's longer side


def answer_picture(asked: Sequence[Asked], *, kind: str, theme: ThemeName) -> bytes:
    """The answers below each other; frames that were shown are not shown again."""
    parts, before = list[Part](), None
    for one in asked:
        parts += _parts(one.answer, before)
        before = one.answer
    documents = [one.document() for one in asked]
    return picture(parts, kind, theme, title="sharpv: what was kept of the video", documents=documents)


def _parts(answer: Answer, before: Answer | None) -> Iterator[Part]:
    yield heading(
        f"{answer.text.strip() or '(empty)'}: {figures.headline(answer)}", answer.question, answer.video.path
    )
    yield _budgets(answer)
    if before is None or not figures.same_frames(before, answer):
        yield _frames(answer)
    yield layers_part(answer)
    for title, stages in figures.waterfall(answer):
        yield titled(f"Time: {title[:1].lower()}{title[1:]}", "", *_stages(stages))
    yield _footer(answer)


def _budgets(answer: Answer) -> Part:
    named = figures.budgets(answer)
    tokens = f"{answer.visual_kept} of {answer.visual_total} picture tokens"
    memory = answer.memory
    sizes = f"KV cache {format_bytes(memory.kv_bytes)} of {format_bytes(memory.kv_dense_bytes)}"

    def draw(axes: Axes, theme: Theme) -> None:
        axes.barh(range(2), [1, 1], height=0.5, color=theme.track)
        axes.barh(range(2), [ratio for _, ratio in named], height=0.5, color=theme.accent)
        for row, ((_, ratio), told) in enumerate(zip(named, (tokens, sizes), strict=True)):
            axes.text(1.04, row, f"{format_percent(ratio)}", va="center", weight="bold", color=theme.ink)
            axes.text(1.42, row, told, va="center", color=theme.faint)
        axes.set_xlim(0, 3.1)
        axes.axis("off")
        for row, (name, _) in enumerate(named):
            axes.text(-0.03, row, name, va="center", ha="right", color=theme.faint)

    return Part(*rows(["", ""], draw, left=1.5))


def _frames(answer: Answer) -> Part:
    count = len(answer.retention)
    shown = range(0, count, math.ceil(count / MOST_FRAMES))
    columns = min(COLUMNS, len(shown))
    width = (ROOM - _GUTTER * (COLUMNS - 1)) / COLUMNS
    pixels = answer.sample.images.shape[1:3]
    height = min(2.5, width * pixels[0] / pixels[1])
    lines = math.ceil(len(shown) / columns)

    def draw(sheet: Sheet, top: float) -> None:
        for index, frame in enumerate(shown):
            row, column = divmod(index, columns)
            place = top + row * (height + _BELOW), column * (width + _GUTTER)
            _frame(sheet, answer, frame, place, (width, height))

    some = "" if len(shown) == count else f" ({len(shown)} of {count})"
    told = "kept patches are bright, pruned ones grey; below each frame its share that was kept"
    return titled(f"Frames{some}", told, lines * (height + _BELOW), draw)


def _frame(
    sheet: Sheet, answer: Answer, frame: int, place: tuple[float, float], size: tuple[float, float]
) -> None:
    (top, left), (width, height), theme = place, size, sheet.theme
    keep = answer.keep[frame].reshape(answer.grid)
    pixels = _picture(answer, frame)
    axes = sheet.axes(top, height, left, width)
    axes.imshow(veiled(pixels, keep), aspect="auto", interpolation="bilinear", extent=(0, 1, 1, 0))
    axes.add_collection(LineCollection(_edges(keep), colors="#39c5cf", linewidths=1.1))
    axes.axis("off")
    below = sheet.axes(top + height + 0.06, 0.07, left, width)
    below.barh([0], [1], color=theme.track, height=1)
    below.barh([0], [answer.retention[frame].ratio], color=theme.accent, height=1)
    below.set(xlim=(0, 1), ylim=(-0.5, 0.5))
    below.axis("off")
    one, clock = answer.retention[frame], clock_of(answer)
    sheet.text(top + height + 0.17, clock.format(one.timestamp_sec), left=left, size=SMALL, ink="faint")
    sheet.text(top + height + 0.17, f"{one.kept}/{one.total}", left=left + width, size=SMALL, ha="right")


def _picture(answer: Answer, frame: int) -> NDArray[np.uint8]:
    first = frame * math.ceil(len(answer.sample) / len(answer.retention))
    image = Image.fromarray(answer.sample.images[first])
    scale = _SIDE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


def _edges(keep: NDArray[np.bool_]) -> list[list[tuple[float, float]]]:
    """The border between kept patches and pruned ones, in a square of side 1."""
    height, width = keep.shape
    beside = np.argwhere(keep[:, 1:] != keep[:, :-1])
    below = np.argwhere(keep[1:] != keep[:-1])
    upright = [
        [((column + 1) / width, row / height), ((column + 1) / width, (row + 1) / height)]
        for row, column in beside.tolist()
    ]
    lying = [
        [(column / width, (row + 1) / height), ((column + 1) / width, (row + 1) / height)]
        for row, column in below.tolist()
    ]
    return upright + lying


def layers_part(answer: Answer, of: str = "") -> Part:
    """Similarity by layer with M, and below it what each layer stores."""
    layers, dense = answer.layers, answer.memory.kv_dense_bytes / len(answer.layers)
    unit, size = ("MiB", 1 << 20) if dense >= 1 << 20 else ("KiB", 1 << 10)
    places = [layer.layer for layer in layers]

    def draw(sheet: Sheet, top: float) -> None:
        theme = sheet.theme
        above, below = (sheet.axes(top + y, h, 0.75, ROOM - 1.5) for y, h in ((0.1, 1.5), (1.75, 0.6)))
        heights = [max(0.0, layer.similarity or 0.0) for layer in layers]
        below.bar(places, [dense / size] * len(layers), color=theme.track, width=0.84)
        for axes, values in ((above, heights), (below, [layer.kv_bytes / size for layer in layers])):
            for layer, value in zip(layers, values, strict=True):
                kept = layer.visual_kv_kept
                axes.bar(
                    layer.layer, value, width=0.84,
                    facecolor=theme.accent if kept else theme.paper, edgecolor=theme.accent if kept else theme.calm,
                    hatch=None if kept else "////", linewidth=0 if kept else 1,
                )  # fmt: skip
            axes.set_xlim(-0.6, len(layers) - 0.4)
        above.set(ylim=(0, 1), yticks=(0, 0.5, 1), ylabel="similarity")
        above.set_xticks([])
        if answer.m is not None and 0 <= answer.m <= 1:
            above.axhline(answer.m, color=theme.mark, linewidth=1.6, linestyle=(0, (4, 2)))
            right = len(layers) - 0.3
            above.text(right, answer.m, f"M = {answer.m:g}", color=theme.mark, va="center", weight="bold")
        below.set(ylabel=unit, xlabel="decoder layer")
        below.set_xticks(places[:: math.ceil(len(layers) / 16)])

    told = (
        f"{figures.layers_told(answer)} KV below: of what no pruning would store (grey). Hatched: discarded."
    )
    return titled(f"Layers{of}", told, 2.85, draw)


def _stages(stages: Sequence[Stage]) -> tuple[float, Draw]:
    whole = max(stage.start + stage.seconds for stage in stages) or 1.0

    def draw(axes: Axes, theme: Theme) -> None:
        for row, stage in enumerate(stages):
            axes.barh(row, 1, color=theme.track, height=0.55)
            axes.barh(
                row,
                max(stage.seconds / whole, 0.003),
                left=stage.start / whole,
                color=theme.accent,
                height=0.55,
            )
            axes.text(1.02, row, stage.text, va="center", color=theme.ink)
        axes.set_xlim(0, 1.17)
        axes.spines["bottom"].set_visible(False)
        axes.set_xticks([])

    return rows([stage.label for stage in stages], draw)


def _footer(answer: Answer) -> Part:
    return note(", ".join(f"{fact.label} {fact.value}" for fact in figures.model_facts(answer)))
