"""The contact sheet: every sampled frame with the visual tokens that were pruned veiled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sharpv_cli.report.sizes import Clock
from sharpv_cli.types import FrameSample

SHEET_WIDTH = 1600  # pixels aimed at; many frames make it wider, few make it narrower
MAX_FRAME, MIN_FRAME = 360, 144  # pixels of a frame's longer side
MARGIN = 16
CAPTION_HEIGHT = 24
LEGEND_WIDTH, LEGEND_HEIGHT = 340, 56
VEIL, VEIL_COLOUR = 0.62, (128, 134, 142)  # over what was pruned, as on the report page
PAPER, INK, FAINT = (13, 17, 23), (230, 237, 243), (139, 148, 158)
_FONT_SIZE = 13


def veiled(picture: NDArray[np.uint8], keep: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """`picture` [H, W, 3] uint8, grey and under a veil where cells of `keep` [rows, columns] are False.

    The grid spreads over the whole picture, as for processors that resize without cropping.
    """
    rows = np.arange(picture.shape[0]) * keep.shape[0] // picture.shape[0]
    columns = np.arange(picture.shape[1]) * keep.shape[1] // picture.shape[1]
    kept = keep[rows[:, None], columns[None, :], None]
    grey = picture @ np.array([0.3, 0.59, 0.11])
    behind = (1 - VEIL) * grey[..., None] + VEIL * np.array(VEIL_COLOUR)
    return np.where(kept, picture, behind.astype(np.uint8))


@dataclass(frozen=True, slots=True)
class KeptFrames:
    """Frames, and what was kept of them: bool [T, f], in raster order of `grid`; `told` stands above."""

    sample: FrameSample
    keep: NDArray[np.bool_]
    grid: tuple[int, int]
    told: str


def sheet_of(kept: KeptFrames) -> Image.Image:
    """The sheet, RGB: frames in reading order, each with its timestamp and kept/total below, and a legend."""
    frames = len(kept.sample)
    columns = math.ceil(math.sqrt(frames))
    rows = math.ceil(frames / columns)
    width, height = _frame_size(kept, columns)
    cell_width, cell_height = max(width, MIN_FRAME) + MARGIN, height + CAPTION_HEIGHT + MARGIN
    sheet_width = max(columns * cell_width + MARGIN, LEGEND_WIDTH)
    sheet = Image.new("RGB", (sheet_width, LEGEND_HEIGHT + rows * cell_height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.font = ImageFont.load_default(_FONT_SIZE)
    _draw_legend(draw, kept)
    for index in range(frames):
        row, column = divmod(index, columns)
        left, top = MARGIN + column * cell_width, LEGEND_HEIGHT + row * cell_height
        sheet.paste(_picture(kept, index, (width, height)), (left, top))
        _draw_caption(draw, kept, index, (left, top + height + 6), cell_width - MARGIN)
    return sheet


def _frame_size(kept: KeptFrames, columns: int) -> tuple[int, int]:
    """(width, height) of a frame on the sheet, in pixels."""
    height, width = kept.sample.images.shape[1:3]
    side = min(MAX_FRAME, max(MIN_FRAME, SHEET_WIDTH // columns - MARGIN))
    scale = side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _patch(kept: KeptFrames, index: int) -> int:
    """The row of `keep` for sampled frame `index`: several frames share one where a family merges them."""
    return index // math.ceil(len(kept.sample) / len(kept.keep))


def _picture(kept: KeptFrames, index: int, size: tuple[int, int]) -> Image.Image:
    picture = Image.fromarray(kept.sample.images[index]).resize(size, Image.Resampling.LANCZOS)
    keep = kept.keep[_patch(kept, index)]
    return Image.fromarray(veiled(np.asarray(picture), keep.reshape(kept.grid)))


def _draw_caption(
    draw: ImageDraw.ImageDraw, kept: KeptFrames, index: int, place: tuple[int, int], width: int
) -> None:
    times, tokens = kept.sample.timestamps_sec, kept.keep[_patch(kept, index)]
    draw.text(place, Clock.for_times(times).format(times[index]), fill=FAINT)
    right = (place[0] + width, place[1])
    draw.text(right, f"{tokens.sum()}/{len(tokens)}", fill=INK, anchor="ra")


def _draw_legend(draw: ImageDraw.ImageDraw, kept: KeptFrames) -> None:
    draw.text((MARGIN, 12), kept.told, fill=INK)
    draw.text((MARGIN, 31), "grey: visual tokens that were pruned", fill=FAINT)
