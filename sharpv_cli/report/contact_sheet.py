"""The contact sheet: every sampled frame with the visual tokens that were pruned dimmed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sharpv_cli.report.figures import budgets
from sharpv_cli.report.sizes import Clock, format_percent
from sharpv_cli.types import Answer

SHEET_WIDTH = 1600  # pixels aimed at; many frames make it wider, few make it narrower
MAX_FRAME, MIN_FRAME = 360, 144  # pixels of a frame's longer side
MARGIN = 16
CAPTION_HEIGHT = 24
LEGEND_WIDTH, LEGEND_HEIGHT = 340, 56
DIMMED = 0.25  # brightness left to a pruned token
PAPER, INK, FAINT = (13, 17, 23), (230, 237, 243), (139, 148, 158)
_FONT_SIZE = 13


def dim_pruned(picture: NDArray[np.uint8], keep: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """`picture` [H, W, 3] uint8 with the cells of `keep` [rows, columns] that are False at DIMMED brightness.

    The grid spreads over the whole picture, as for processors that resize without cropping.
    """
    rows = np.arange(picture.shape[0]) * keep.shape[0] // picture.shape[0]
    columns = np.arange(picture.shape[1]) * keep.shape[1] // picture.shape[1]
    kept = keep[rows[:, None], columns[None, :], None]
    return np.where(kept, picture, (picture * DIMMED).astype(np.uint8))


def contact_sheet(answer: Answer) -> Image.Image:
    """The sheet, RGB: frames in reading order, each with its timestamp and kept/total below, and a legend."""
    frames = len(answer.sample)
    columns = math.ceil(math.sqrt(frames))
    rows = math.ceil(frames / columns)
    width, height = _frame_size(answer, columns)
    cell_width, cell_height = max(width, MIN_FRAME) + MARGIN, height + CAPTION_HEIGHT + MARGIN
    sheet_width = max(columns * cell_width + MARGIN, LEGEND_WIDTH)
    sheet = Image.new("RGB", (sheet_width, LEGEND_HEIGHT + rows * cell_height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.font = ImageFont.load_default(_FONT_SIZE)
    _draw_legend(draw, answer)
    for index in range(frames):
        row, column = divmod(index, columns)
        left, top = MARGIN + column * cell_width, LEGEND_HEIGHT + row * cell_height
        sheet.paste(_picture(answer, index, (width, height)), (left, top))
        _draw_caption(draw, answer, index, (left, top + height + 6), cell_width - MARGIN)
    return sheet


def _frame_size(answer: Answer, columns: int) -> tuple[int, int]:
    """(width, height) of a frame on the sheet, in pixels."""
    height, width = answer.sample.images.shape[1:3]
    side = min(MAX_FRAME, max(MIN_FRAME, SHEET_WIDTH // columns - MARGIN))
    scale = side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _patch(answer: Answer, index: int) -> int:
    """The row of `keep` for sampled frame `index`: several frames share one where a family merges them."""
    return index // math.ceil(len(answer.sample) / len(answer.retention))


def _picture(answer: Answer, index: int, size: tuple[int, int]) -> Image.Image:
    picture = Image.fromarray(answer.sample.images[index]).resize(size, Image.Resampling.LANCZOS)
    keep = answer.keep[_patch(answer, index)]
    return Image.fromarray(dim_pruned(np.asarray(picture), keep.reshape(answer.grid)))


def _draw_caption(
    draw: ImageDraw.ImageDraw, answer: Answer, index: int, place: tuple[int, int], width: int
) -> None:
    times, frame = answer.sample.timestamps_sec, answer.retention[_patch(answer, index)]
    draw.text(place, Clock.for_times(times).format(times[index]), fill=FAINT)
    right = (place[0] + width, place[1])
    draw.text(right, f"{frame.kept}/{frame.total}", fill=INK, anchor="ra")


def _draw_legend(draw: ImageDraw.ImageDraw, answer: Answer) -> None:
    figures = ", ".join(f"{name} {format_percent(ratio)}" for name, ratio in budgets(answer))
    draw.text((MARGIN, 12), figures, fill=INK)
    draw.text((MARGIN, 31), "dimmed: visual tokens that were pruned", fill=FAINT)
