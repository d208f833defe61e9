"""Drawing objects by their states, one a frame: for worlds in which they do more than ShapesQA's own.

As `render`, on a GPU or a CPU, for batches or one clip: a state is a row of numbers, whatever led to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from sharpv_cli.shapes.render import shape_distance
from sharpv_cli.shapes.world import SHAPES

Tensor = torch.Tensor

STATE = ("kind", "r", "g", "b", "x", "y", "radius", "hole", "seen")
"""Columns of a state: colours 0 to 1, lengths in units of the frame's shorter side, `seen` 0 or 1."""
_PLACE = {name: place for place, name in enumerate(STATE)}


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the pixels of B frames are: `x` [B, 1, 1, W], `y` [B, 1, H, 1], and a pixel's own size [B, 1, 1, 1]."""

    x: Tensor
    y: Tensor
    pixel: Tensor

    @classmethod
    def of(cls, size: Tensor, height: int, width: int) -> Grid:
        """`size` [B, 2]: the frames' width and height in units of the shorter side."""
        wide, high = size[:, 0].view(-1, 1, 1, 1), size[:, 1].view(-1, 1, 1, 1)
        across = (torch.arange(width, device=size.device) + 0.5)[None, None, None] / width
        down = (torch.arange(height, device=size.device) + 0.5)[None, None, :, None] / height
        return cls(across * wide, down * high, ((wide * high) / (width * height)).sqrt())


def paint(
    frames: Tensor,
    states: Tensor,
    grid: Grid,
    *,
    sharpness: Tensor | float = 2.0,
    kinds: Sequence[Sequence[int]] | None = None,
    one: Callable[..., tuple[Tensor, Tensor]] | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Objects on `frames` [B, T, 3, H, W], those in front last; and how much of each pixel each one covers.

    `states` is float32 [B, T, slots, len(STATE)], a slot's covers are [B, T, H, W]. `kinds` lists the shapes that
    occur in each slot (default: all), so that a single clip does not pay for what it does not hold. `one` may be a
    compiled `paint_one`.
    """
    covers: list[Tensor] = []
    for slot in range(states.shape[2]):
        known = tuple(range(len(SHAPES))) if kinds is None else tuple(kinds[slot])
        state = states[:, :, slot].contiguous()  # strides by the number of slots would each be compiled anew
        frames, alpha = (one or paint_one)(frames, state, grid.x, grid.y, grid.pixel, sharpness, known)
        covers.append(alpha)
    return frames, covers


def paint_one(
    frames: Tensor,
    state: Tensor,
    grid_x: Tensor,
    grid_y: Tensor,
    pixel: Tensor,
    sharpness: Tensor | float,
    kinds: tuple[int, ...],
) -> tuple[Tensor, Tensor]:
    """One object of these `kinds` on every frame, and how much of each pixel it covers; `state` [B, T, len(STATE)]."""
    col = {name: state[:, :, place, None, None] for name, place in _PLACE.items()}
    radius = col["radius"].clamp(min=1e-3)
    dx, dy = (grid_x - col["x"]) / radius, (grid_y - col["y"]) / radius
    distance = torch.ones_like(dx + dy)
    for kind in kinds:
        distance = torch.where(col["kind"] == kind, shape_distance(kind, dx, dy, col["hole"]), distance)
    alpha = torch.sigmoid(-distance * radius / pixel * sharpness) * col["seen"]
    return frames + (state[:, :, 1:4, None, None] - frames) * alpha[:, :, None], alpha


def drifting(canvas: Tensor, offsets: Tensor, shown: float, height: int, width: int) -> Tensor:
    """What T frames show of a `canvas` [B, 3, h, w] that moves behind them: [B, T, 3, height, width].

    `shown` is the share of the canvas' sides that a frame sees, `offsets` [B, T, 2] how far it is to the right and
    down, as a share of the frame's own sides.
    """
    batch, count = offsets.shape[:2]
    affine = torch.zeros(batch * count, 2, 3, device=canvas.device)
    affine[:, 0, 0] = affine[:, 1, 1] = shown
    affine[:, :, 2] = 2 * shown * offsets.flatten(0, 1)
    grid = F.affine_grid(affine, [batch * count, 3, height, width], align_corners=False)
    every = canvas.repeat_interleave(count, dim=0)
    return F.grid_sample(every, grid, padding_mode="reflection", align_corners=False).view(
        batch, count, 3, height, width
    )


def plate(
    frames: Tensor,
    mask: Tensor,
    points: Tensor,
    where: Tensor,
    colours: Tensor,
    grid: Grid,
    *,
    sharpness: float = 2.0,
) -> Tensor:
    """A plate with writing on `frames` [B, T, 3, H, W]: `mask` [B, h, w] is 1 where it is written on.

    Of the mask the first `points` [B, 2], rows and columns, are the writing, and around them is one point of margin.
    `where` [B, T, 4] is the plate's centre, height and whether it is there; `colours` [B, 2, 3] those of the plate and
    of the writing.
    """
    rows, columns = points[:, 0].view(-1, 1, 1, 1), points[:, 1].view(-1, 1, 1, 1)
    x, y, high, there = (where[:, :, k, None, None] for k in range(4))
    point = (high / (rows + 2)).clamp(min=1e-4)
    across, down = (grid.x - x) / point, (grid.y - y) / point  # in points from the plate's centre
    outside = torch.maximum(across.abs() - columns / 2 - 1, down.abs() - rows / 2 - 1)
    on = torch.sigmoid(-outside * point / grid.pixel * sharpness) * there
    tall, wide = mask.shape[-2:]
    right, low = 2 * (across + columns / 2) / wide - 1, 2 * (down + rows / 2) / tall - 1
    places = torch.stack((right + 0 * low, low + 0 * right), dim=-1).flatten(0, 1)
    written = F.grid_sample(
        mask[:, None].repeat_interleave(frames.shape[1], dim=0), places, align_corners=False
    ).view(on.shape)
    plain, ink = (colours[:, k, :, None, None][:, None] for k in range(2))
    return frames + (plain + (ink - plain) * written[:, :, None] - frames) * on[:, :, None]
