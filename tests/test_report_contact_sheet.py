"""The contact sheet: the right tokens veiled, each frame labelled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from make_answer import make_answer
from PIL import Image

from sharpv_cli.report.contact_sheet import KeptFrames, sheet_of, veiled
from sharpv_cli.types import Answer


def contact_sheet(answer: Answer) -> Image.Image:
    return sheet_of(KeptFrames(answer.sample, answer.keep, answer.grid, "visual retention 12.0%"))


def behind_veil(color: np.ndarray) -> np.ndarray:
    """A pruned pixel: most of what it was, and all of its colour, is gone; it is neither black nor white."""
    pixel = veiled(color.astype(np.uint8)[None, None], np.zeros((1, 1), bool))[0, 0].astype(int)
    assert 100 < pixel.min() <= pixel.max() < 200
    assert np.ptp(pixel) < 12
    return pixel


def frame_on_sheet(sheet: Image.Image, answer: Answer, index: int) -> np.ndarray:
    """Frame `index` of a sheet of bright frames, found by looking for the frames' own colour."""
    pixels = np.asarray(sheet).astype(int)
    color = answer.sample.images[index][0, 0].astype(int)
    full = np.abs(pixels - color).max(axis=2) <= 1
    dim = np.abs(pixels - behind_veil(color)).max(axis=2) <= 1
    rows, columns = np.nonzero(full | dim)
    return pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


COLORS = np.array([(240, 80, 80), (80, 240, 80), (80, 80, 240), (240, 240, 80), (80, 240, 240)], np.uint8)


def plain_answer(size: tuple[int, int], grid: tuple[int, int], kept: list[int]) -> Answer:
    """Every frame of one colour of its own, so that it can be found again."""
    answer = make_answer(len(kept), tokens=grid[0] * grid[1], grid=grid, kept=kept, image_size=size)
    images = np.broadcast_to(COLORS[: len(kept), None, None], answer.sample.images.shape).copy()
    return replace(answer, sample=replace(answer.sample, images=images))


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((64, 64), (4, 4)),
        ((90, 160), (14, 14)),
        ((96, 128), (3, 4)),
        ((160, 90), (5, 3)),
        # Neither the shape of the picture nor the number of tokens says these.
        ((64, 64), (2, 8)),
        ((90, 160), (8, 2)),
        ((64, 96), (7, 1)),
        ((96, 64), (4, 9)),
    ],
)
def test_veiled_exactly_where_not_kept(size: tuple[int, int], grid: tuple[int, int]) -> None:
    tokens = grid[0] * grid[1]
    answer = plain_answer(size, grid, [tokens // 2, tokens, 0, 1, tokens - 1])
    sheet = contact_sheet(answer)
    for index, color in enumerate(COLORS):
        frame = frame_on_sheet(sheet, answer, index)
        assert frame.shape[1] / frame.shape[0] == pytest.approx(size[1] / size[0], rel=0.02)
        keep = answer.keep[index].reshape(grid)
        for row in range(grid[0]):
            for column in range(grid[1]):
                cell = frame[_inside(row, grid[0], frame.shape[0]), _inside(column, grid[1], frame.shape[1])]
                expected = color if keep[row, column] else behind_veil(color)
                assert np.abs(cell - expected.astype(int)).max() <= 1, (index, row, column)


def _inside(cell: int, cells: int, pixels: int) -> slice:
    """A cell's pixels without the one at each border, where rounding may go either way."""
    return slice(cell * pixels // cells + 1, (cell + 1) * pixels // cells - 1)


def test_cells_fill_the_frame() -> None:
    answer = plain_answer((90, 160), (14, 14), [98])
    frame = frame_on_sheet(contact_sheet(answer), answer, 0)
    bright = (np.abs(frame - COLORS[0].astype(int)).max(axis=2) <= 1).mean()
    assert bright == pytest.approx(98 / 196, abs=0.02)


@pytest.mark.parametrize(("frames", "columns"), [(1, 1), (2, 2), (5, 3), (17, 5)])
def test_every_frame_is_there(frames: int, columns: int) -> None:
    answer = make_answer(frames, tokens=4, kept=[4] * frames, image_size=(40, 40))
    sheet = np.asarray(contact_sheet(answer)).astype(int)
    is_frame = (sheet == 255).all(axis=2)  # the ramp's bright end, one strip a frame
    strips = np.diff(np.r_[0, is_frame.any(axis=0).astype(int), 0]).clip(0).sum()
    bands = np.diff(np.r_[0, is_frame.any(axis=1).astype(int), 0]).clip(0).sum()
    assert (strips, bands) == (columns, -(-frames // columns))


def test_the_legend_is_not_cut_on_a_narrow_sheet() -> None:
    sheet = np.asarray(contact_sheet(make_answer(1, kept=[1], tokens=4096, image_size=(160, 40)))).astype(int)
    paper = sheet[0, 0]
    right_margin = sheet[:50, -10:]
    assert (sheet[:50] != paper).any()
    assert (right_margin == paper).all()


def test_captions_differ_with_their_figures() -> None:
    few = contact_sheet(make_answer(1, kept=[3], image_size=(40, 40)))
    many = contact_sheet(make_answer(1, kept=[4], image_size=(40, 40)))
    caption = slice(few.height - 40, few.height)
    assert (np.asarray(few)[caption] != np.asarray(many)[caption]).any()
    assert (np.asarray(few)[caption, :80] == np.asarray(many)[caption, :80]).all()  # the timestamp


def test_frames_that_a_family_merges_share_their_tokens() -> None:
    answer = plain_answer((40, 40), (2, 2), [4, 4, 4])
    keep = np.array([[True] * 4, [False] * 4])
    first, second = answer.retention[0], replace(answer.retention[2], frame=1, kept=0)
    answer = replace(answer, keep=keep, retention=(first, second))
    sheet = contact_sheet(answer)
    for index, kept in enumerate((True, True, False)):
        frame = frame_on_sheet(sheet, answer, index)
        expected = COLORS[index].astype(int) if kept else behind_veil(COLORS[index])
        assert np.abs(frame - expected).max() <= 1


def test_six_hundred_frames_stay_a_picture_that_opens() -> None:
    sheet = contact_sheet(make_answer(600, image_size=(9, 16)))
    assert max(sheet.size) < 4200
