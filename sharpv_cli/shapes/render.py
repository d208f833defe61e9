"""Drawing scenes with torch: batches on a GPU for training, single clips on a CPU for encoding, by the same code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F

from sharpv_cli.shapes.world import MAX_OBJECTS, SHAPES, Scene

Tensor = torch.Tensor

# Columns of SceneBatch.numbers, one row an object slot; absent objects have `there` = 0.
COLUMNS = (
    "there kind r g b r_end g_end b_end x0 y0 x1 y1 radius radius_end hole appears_at vanishes_at turns_at "
    "colour colour_end"
).split()
_COLUMN = {name: i for i, name in enumerate(COLUMNS)}


@dataclass(frozen=True, slots=True)
class SceneBatch:
    """B scenes as tensors: `numbers` float32 [B, MAX_OBJECTS, len(COLUMNS)], `size` float32 [B, 2] (width, height)."""

    numbers: Tensor
    size: Tensor

    def to(self, device: torch.device | str) -> SceneBatch:
        return SceneBatch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))

    def column(self, slot: int, name: str) -> Tensor:
        """float32 [B, 1, 1, 1], ready to broadcast over frames and pixels."""
        return self.numbers[:, slot, _COLUMN[name]].view(-1, 1, 1, 1)

    def columns(self, *names: str) -> Tensor:
        """float32 [B, MAX_OBJECTS, len(names)]."""
        return self.numbers[..., [_COLUMN[name] for name in names]]


def as_batch(scenes: Sequence[Scene], colour_names: Sequence[str]) -> SceneBatch:
    """Scenes as tensors on the CPU."""
    rows = torch.zeros(len(scenes), MAX_OBJECTS, len(COLUMNS))
    for b, scene in enumerate(scenes):
        for k, o in enumerate(scene.objects):
            rows[b, k] = torch.tensor(
                [
                    *(1, SHAPES.index(o.kind)),
                    *(c / 255 for c in (*o.rgb, *o.rgb_end)),
                    *(o.x0, o.y0, o.x1, o.y1, o.radius, o.radius_end, o.hole),
                    *(o.appears_at, o.vanishes_at, o.turns_at),
                    *(colour_names.index(o.colour), colour_names.index(o.colour_end)),
                ]
            )
    return SceneBatch(rows, torch.tensor([[s.width, s.height] for s in scenes]))


def shape_distance(kind: int, dx: Tensor, dy: Tensor, hole: Tensor) -> Tensor:
    """About how far outside shape `kind` of radius 1 the point (dx, dy) is; negative inside. y points down."""
    ax, ay = dx.abs(), dy.abs()
    match SHAPES[kind]:
        case "circle":
            return (dx * dx + dy * dy).sqrt() - 1
        case "square":
            return torch.maximum(ax, ay) - 0.88
        case "triangle":
            return torch.maximum(ax * 0.866 - dy * 0.5, dy) - 0.55
        case "star":
            return _star_distance(dx, dy)
        case "ring":
            rho = (dx * dx + dy * dy).sqrt()
            return (rho - (1 + hole) / 2).abs() - (1 - hole) / 2
        case "cross":
            bar = torch.maximum(ax - 1, ay - 1 / 3)
            return torch.minimum(bar, torch.maximum(ay - 1, ax - 1 / 3))
    raise AssertionError(kind)


def _star_distance(dx: Tensor, dy: Tensor) -> Tensor:
    """Five points, one up. By symmetry only the half point nearest to the pixel matters: one straight edge."""
    inner = 0.45
    sector = 2 * math.pi / 5
    angle = torch.atan2(dx, -dy)
    phi = (torch.remainder(angle + sector / 2, sector) - sector / 2).abs()
    rho = (dx * dx + dy * dy).sqrt()
    ex, ey = inner * math.cos(sector / 2) - 1, inner * math.sin(sector / 2)
    length = math.hypot(ex, ey)
    return ((rho * phi.cos() - 1) * ey - rho * phi.sin() * ex) / length


def background(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Plain or textured grounds, float32 [B, 3, H, W] in 0 to 0.6: a tint, a soft gradient and a fine grain."""
    device = generator.device

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, device=device, generator=generator)

    tint = rand(batch, 3, 1, 1) * 0.45
    soft = F.interpolate(rand(batch, 3, 4, 4), (height, width), mode="bicubic", align_corners=False)
    grain = F.interpolate(rand(batch, 1, 32, 32), (height, width), mode="bilinear", align_corners=False)
    plain = (rand(batch, 1, 1, 1) > 0.2).float()
    return (
        tint + plain * (rand(batch, 1, 1, 1) * 0.35 * (soft - 0.5) + grain * rand(batch, 1, 1, 1) * 0.15)
    ).clamp(0, 0.6)


@dataclass(frozen=True, slots=True)
class Rendered:
    """`frames` float [B, T, 3, H, W] in 0 to 1; `coverage` [B, T, slots, H, W], each object's own visible share.

    `states` float [B, T, slots, 4]: centre x, centre y (fractions of the frame), radius (of the shorter side)
    and whether the colour has turned.
    """

    frames: Tensor
    coverage: Tensor
    states: Tensor


def render(
    scenes: SceneBatch,
    ground: Tensor,
    times: Tensor,
    *,
    sharpness: Tensor | float = 2.0,
    kinds: Sequence[Sequence[int]] | None = None,
) -> Rendered:
    """Draw B scenes at `times` [B, T] on `ground` [B, 3, H, W].

    `sharpness` is the slope of an edge in 1 / pixel. `kinds` lists, for each object slot in use, the shapes that occur
    in it (default: all shapes in all slots), so that a single clip does not pay for what it does not hold.
    """
    height, width = ground.shape[-2:]
    device, dtype = ground.device, ground.dtype
    t = times[:, :, None, None]
    scale_x, scale_y = scenes.size[:, 0].view(-1, 1, 1, 1), scenes.size[:, 1].view(-1, 1, 1, 1)
    px = (torch.arange(width, device=device, dtype=dtype) + 0.5)[None, :] / width * scale_x
    py = (torch.arange(height, device=device, dtype=dtype) + 0.5)[:, None] / height * scale_y
    # A pixel's size in units of the shorter side; the picture may be squeezed, so the geometric mean of both sides.
    pixel = ((scale_x * scale_y) / (width * height)).sqrt()
    frames = ground[:, None].expand(-1, times.shape[1], -1, -1, -1)
    coverage: list[Tensor] = []
    states: list[Tensor] = []
    for slot in range(MAX_OBJECTS if kinds is None else len(kinds)):
        col = {name: scenes.column(slot, name) for name in COLUMNS}
        x, y = col["x0"] + (col["x1"] - col["x0"]) * t, col["y0"] + (col["y1"] - col["y0"]) * t
        radius = (col["radius"] + (col["radius_end"] - col["radius"]) * t).clamp(min=1e-3)
        dx, dy = (px - x) / radius, (py - y) / radius
        distance = torch.ones_like(dx + dy)
        for kind in kinds[slot] if kinds is not None else range(len(SHAPES)):
            distance = torch.where(col["kind"] == kind, shape_distance(kind, dx, dy, col["hole"]), distance)
        seen = col["there"] * (t >= col["appears_at"]) * (t <= col["vanishes_at"])
        alpha = torch.sigmoid(-distance * radius / pixel * sharpness) * seen
        turned = (t >= col["turns_at"]).to(dtype)
        rgb = torch.stack([(col[c] + (col[f"{c}_end"] - col[c]) * turned)[..., 0, 0] for c in "rgb"], dim=2)
        frames = frames + (rgb[..., None, None] - frames) * alpha[:, :, None]
        coverage = [c * (1 - alpha) for c in coverage] + [alpha]
        flat = (v.expand_as(radius) for v in (x / scale_x, y / scale_y, radius, turned))
        states.append(torch.cat([v.reshape(*times.shape, 1) for v in flat], dim=-1))
    return Rendered(frames, torch.stack(coverage, dim=2), torch.stack(states, dim=2))
