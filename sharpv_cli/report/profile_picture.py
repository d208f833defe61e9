"""The figures of a clip's profile as a picture: retention by frame, similarity by layer, time and memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol

from PIL import Image, ImageDraw, ImageFont

from sharpv_cli.report import engine_figures, engine_numbers
from sharpv_cli.report import profile_numbers as numbers
from sharpv_cli.report.contact_sheet import FAINT, INK, PAPER
from sharpv_cli.report.figures import clock_of, frame_rows
from sharpv_cli.report.sizes import format_bytes, format_seconds
from sharpv_cli.report.sweep_figures import NOT_RUN, MemoryFigure, memory_figures
from sharpv_cli.types import ClipProfile, MethodProfile
from sharpv_cli.types.profile import method_label

WIDTH, MARGIN = 1200, 48  # pixels
_LEFT, _RIGHT = MARGIN + 110, WIDTH - MARGIN  # of a plot; the labels of its rows or its axis stand before it
_TITLE, _PLOT, _GAP = 44, 200, 40  # heights, pixels
_TICKS = 8  # most labels under bars
_ROW = 40  # pixels from one stacked bar to the next
_BAR, _GRID, _MARK = (57, 197, 207), (48, 54, 61), (255, 166, 87)
_STAGES = ((94, 102, 112), (139, 148, 158), (88, 130, 200), (188, 140, 255), _BAR, (63, 150, 90))
_ENGINE_PARTS = (_STAGES[1], _BAR, _STAGES[-1])
_SMALL, _LARGE = 15, 19
_Colour = tuple[int, int, int]


class Figure(Protocol):
    """One part of the picture: `height` pixels high, drawn at `top` pixels from above."""

    @property
    def height(self) -> int: ...

    def draw(self, canvas: ImageDraw.ImageDraw, top: int) -> None: ...


def profile_picture(profile: ClipProfile) -> Image.Image:
    """The figures that the profile has data for, below each other, RGB."""
    parts = list(_figures(profile))
    height = 2 * MARGIN + sum(part.height for part in parts) + _GAP * (len(parts) - 1)
    image = Image.new("RGB", (WIDTH, height), PAPER)
    canvas = ImageDraw.Draw(image)
    canvas.font = ImageFont.load_default(_SMALL)
    top = MARGIN
    for part in parts:
        part.draw(canvas, top)
        top += part.height + _GAP
    return image


def _figures(profile: ClipProfile) -> Iterator[Figure]:
    if (pruned := numbers.pruned_method(profile)) is not None:
        yield _frames(pruned)
    if (discarding := numbers.discarding_method(profile)) is not None:
        yield _layers(discarding, profile.m)
    stacks = tuple(numbers.stage_rows(profile))
    title = f"time by stage ({numbers.shown_run(profile)})" if stacks else "no timed run yet"
    yield Stacks(title, stacks, tuple(zip(numbers.PARTS, _STAGES, strict=True)))
    if rows := tuple(engine_figures.stage_rows(profile)):
        parts = tuple(zip(engine_numbers.PARTS, _ENGINE_PARTS, strict=True))
        yield Stacks("time by engine (median run)", rows, parts)
    for figure in memory_figures(profile):
        yield Lengths(figure)


def _frames(method: MethodProfile) -> Bars:
    clock = clock_of(method.answer)
    rows = frame_rows(method.answer.retention)
    return Bars(
        f"visual retention by frame ({method_label(method.method)})",
        tuple((clock.format(row.first_sec), row.ratio, True) for row in rows),
        axis=("0 %", "50 %", "100 %"),
    )


def _layers(method: MethodProfile, m: float | None) -> Bars:
    layers = method.answer.layers
    return Bars(
        f"similarity by layer ({method_label(method.method)}); outlined: visual KV discarded",
        tuple((f"{layer.layer}", layer.similarity or 0.0, layer.visual_kv_kept) for layer in layers),
        axis=("0", "0.5", "1"),
        mark=m,
    )


@dataclass(frozen=True, slots=True)
class Bars:
    """Upright bars of (label, value in [0, 1], filled or only outlined), a grid, and a line at `mark`."""

    title: str
    bars: tuple[tuple[str, float, bool], ...]
    axis: tuple[str, ...]
    mark: float | None = None

    @property
    def height(self) -> int:
        return _TITLE + _PLOT + _SMALL + 8

    def draw(self, canvas: ImageDraw.ImageDraw, top: int) -> None:
        _draw_title(canvas, self.title, top)
        floor = top + _TITLE + _PLOT
        for index, label in enumerate(self.axis):
            self._line(canvas, floor, index / (len(self.axis) - 1), label, _GRID)
        step = (_RIGHT - _LEFT) / len(self.bars)
        every = -(-len(self.bars) // _TICKS)
        for index, (label, value, filled) in enumerate(self.bars):
            left = _LEFT + index * step
            _draw_bar(canvas, (left + 0.12 * step, left + 0.88 * step), floor, value, filled=filled)
            if index % every == 0:
                canvas.text((left + step / 2, floor + 8), label, fill=FAINT, anchor="ma")
        if self.mark is not None and 0 <= self.mark <= 1:
            self._line(canvas, floor, self.mark, f"M = {self.mark:.2f}", _MARK)

    def _line(
        self, canvas: ImageDraw.ImageDraw, floor: int, value: float, label: str, colour: tuple[int, int, int]
    ) -> None:
        y = floor - round(value * _PLOT)
        canvas.line((_LEFT, y, _RIGHT, y), fill=colour, width=1 if colour == _GRID else 2)
        canvas.text((_LEFT - 10, y), label, fill=FAINT if colour == _GRID else colour, anchor="rm")


def _draw_bar(
    canvas: ImageDraw.ImageDraw, sides: tuple[float, float], floor: int, value: float, *, filled: bool
) -> None:
    height = round(min(max(value, 0.0), 1.0) * _PLOT)
    if height:
        box = (sides[0], floor - height, sides[1], floor)
        canvas.rectangle(box, fill=_BAR if filled else PAPER, outline=_BAR, width=2)


@dataclass(frozen=True, slots=True)
class Stacks:
    """A lying bar a row, all on one scale, their parts (seconds) in the order of the legend: name and colour."""

    title: str
    rows: tuple[tuple[str, tuple[float, ...]], ...]
    legend: tuple[tuple[str, _Colour], ...]

    @property
    def height(self) -> int:
        return _TITLE + _ROW * len(self.rows) + (_SMALL + 12 if self.rows else 0)

    def draw(self, canvas: ImageDraw.ImageDraw, top: int) -> None:
        _draw_title(canvas, self.title, top)
        longest = max((sum(parts) for _, parts in self.rows), default=0.0)
        scale = (_RIGHT - _LEFT - 80) / longest if longest else 0.0
        y = top + _TITLE
        for name, parts in self.rows:
            canvas.text((_LEFT - 10, y + _ROW // 2 - 6), name, fill=INK, anchor="rm")
            end = _draw_stack(canvas, y, parts, scale, self.legend)
            canvas.text((end + 10, y + _ROW // 2 - 6), format_seconds(sum(parts)), fill=INK, anchor="lm")
            y += _ROW
        if self.rows:
            _draw_legend(canvas, y + 8, self.legend)


@dataclass(frozen=True, slots=True)
class Lengths:
    """A lying bar a number of frames and method, as long as its bytes; none where it was not measured."""

    figure: MemoryFigure

    @property
    def height(self) -> int:
        return _TITLE + _ROW * len(self.figure.rows)

    def draw(self, canvas: ImageDraw.ImageDraw, top: int) -> None:
        _draw_title(canvas, self.figure.title, top)
        scale = (_RIGHT - _LEFT - 110) / max(self.figure.largest, 1)
        for index, (frames, method, size) in enumerate(self.figure.rows):
            y = top + _TITLE + index * _ROW
            end = _LEFT + round((size or 0) * scale)
            canvas.text((_LEFT - 10, y + _ROW // 2 - 6), f"{frames} {method}", fill=INK, anchor="rm")
            if size is not None:
                canvas.rectangle(
                    (_LEFT, y, end, y + _ROW - 14),
                    fill=PAPER if method == "dense" else _BAR,
                    outline=_BAR,
                    width=2,
                )
            text = NOT_RUN if size is None else format_bytes(size)
            canvas.text((end + 10, y + _ROW // 2 - 6), text, fill=INK, anchor="lm")


def _draw_stack(
    canvas: ImageDraw.ImageDraw,
    top: int,
    parts: Sequence[float],
    scale: float,
    legend: Sequence[tuple[str, _Colour]],
) -> int:
    """Draw one bar and return where it ends; a line of paper parts its stages."""
    ends = [_LEFT + round(end * scale) for end in accumulate(parts, initial=0.0)]
    for (name, colour), (start, end) in zip(legend, pairwise(ends), strict=True):
        if end > start:
            canvas.rectangle((start, top, max(start, end - 2), top + _ROW - 14), fill=colour)
        if end - start > canvas.textlength(name) + 12:  # so that the colours are not all that tells
            canvas.text(((start + end) / 2, top + _ROW // 2 - 6), name, fill=PAPER, anchor="mm")
    return ends[-1]


def _draw_legend(canvas: ImageDraw.ImageDraw, top: int, legend: Sequence[tuple[str, _Colour]]) -> None:
    left = float(_LEFT)
    for name, colour in legend:
        canvas.rectangle((left, top, left + 13, top + 13), fill=colour)
        canvas.text((left + 20, top + 7), name, fill=FAINT, anchor="lm")
        left += 20 + canvas.textlength(name) + 28


def _draw_title(canvas: ImageDraw.ImageDraw, text: str, top: int) -> None:
    canvas.text((MARGIN, top), text, fill=INK, font=ImageFont.load_default(_LARGE))
