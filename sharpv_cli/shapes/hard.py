"""ShapesQA-Hard: five to nine small objects in sixteen near colours, partly hidden, on grounds that move, filmed by a
hand-held camera; and signs with a number or a word on them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from sharpv_cli.shapes.films import Colour, Film, Sign
from sharpv_cli.shapes.painting import Tensor
from sharpv_cli.shapes.world import (
    COLOURS,
    DIRECTIONS,
    SHAPES,
    Motion,
    Scene,
    Shape,
    destination,
    drawn_shape,
    jittered,
    pick_motion,
)
from sharpv_cli.video.encoding import Codec, Quality

NEAR: dict[str, Colour] = {
    "pink": (245, 130, 180),
    "brown": (130, 80, 40),
    "navy": (25, 35, 110),
    "teal": (20, 130, 130),
    "lime": (160, 230, 60),
    "grey": (160, 160, 160),
    "maroon": (120, 20, 40),
    "magenta": (215, 45, 200),
}
"""Beside ShapesQA's own, each of them near one or two of those."""
PALETTE: dict[str, Colour] = {**COLOURS, **NEAR}
JITTER = 8  # so that two colours never meet
FEWEST, MOST = 5, 9
WORDS = """ant arm axe bag bat bed bee box boy bus cab cap car cat cow cup dog ear egg eye fan fig fox gas hat hen
ice ink jam jar key leg lip log map mud net nut oak oil owl pen pig pot rat red sea sky sun tea toy van
wax zoo bird boat book cake coin door duck fish frog gate hand kite lamp leaf lion milk moon nest road
rose ship star tree wolf""".split()

_RADII = (0.03, 0.065)
_SWAY = 0.04  # how far the camera moves everything, each way
_EDGE = 0.015 + _SWAY
_VISIBLE = 0.55  # two objects are at least so many of their radii apart at the start and at the end: never all hidden
_CONTRAST = 60  # of an object and the ground's tint, as far as can be had


@dataclass(frozen=True)
class HardWorld:
    """A scene of ShapesQA's kind, with more in it, before a camera. `duration_sec` is that of the scene's 0 to 1.

    `signs` with text are read, blank ones only hide. `waves` by axis: amplitude, hertz and phase of the camera's sway;
    `speed` is the ground's, in shorter sides a second.
    """

    scene: Scene
    duration_sec: float
    signs: tuple[Sign, ...]
    waves: tuple[tuple[tuple[float, float, float], ...], tuple[tuple[float, float, float], ...]]
    speed: tuple[float, float]

    @property
    def width(self) -> float:
        return self.scene.width

    @property
    def height(self) -> float:
        return self.scene.height

    @property
    def written(self) -> tuple[str, ...]:
        """What can be read."""
        return tuple(sign.text for sign in self.signs if sign.text)

    @cached_property
    def kinds(self) -> Sequence[int]:
        return [SHAPES.index(shape.kind) for shape in self.scene.objects]

    def states(self, times: Sequence[float]) -> Tensor:
        t = torch.tensor(times)[:, None] / self.duration_sec
        shapes = self.scene.objects

        def every(*names: str) -> list[Tensor]:
            return [torch.tensor([getattr(shape, name) for shape in shapes]) for name in names]

        x0, y0, x1, y1, radius, radius_end = every("x0", "y0", "x1", "y1", "radius", "radius_end")
        appears, vanishes, turns, hole = every("appears_at", "vanishes_at", "turns_at", "hole")
        start, end = (
            torch.tensor([getattr(shape, name) for shape in shapes]) / 255 for name in ("rgb", "rgb_end")
        )
        colour = torch.where((t >= turns)[..., None], end, start)
        kind = torch.tensor(self.kinds).float()
        columns = (
            kind + 0 * t, *colour.unbind(-1), x0 + (x1 - x0) * t, y0 + (y1 - y0) * t,
            radius + (radius_end - radius) * t, hole + 0 * t, ((t >= appears) & (t <= vanishes)).float(),
        )  # fmt: skip
        return torch.stack(columns, dim=-1)

    def camera(self, times: Sequence[float]) -> Tensor:
        t = torch.tensor(times)
        return torch.stack(
            [
                sum((a * torch.sin(math.tau * hz * t + phase) for a, hz, phase in axis), 0 * t)
                for axis in self.waves
            ],
            1,
        )

    def drift(self, times: Sequence[float]) -> Tensor:
        return torch.tensor(times)[:, None] * torch.tensor(self.speed)


def sample_world(rng: random.Random, texts: Sequence[str] | None = None) -> HardWorld:
    """Draw one; `texts` are what its signs say (default: a number, a word, both or nothing)."""
    aspect = rng.choice((16 / 9, 4 / 3, 1.0, 3 / 4, 9 / 16))
    width, height = max(aspect, 1.0), max(1 / aspect, 1.0)
    signs = [_sign(rng, text, width, height) for text in (_texts(rng) if texts is None else texts)]
    if len(signs) == 2 and _overlap(*signs):
        signs.pop()
    count, objects = rng.randint(FEWEST, MOST), list[Shape]()
    while len(objects) < count:
        if (shape := _place(rng, objects, signs, width, height)) is None:
            return sample_world(rng, texts)
        objects.append(shape)
    duration = rng.uniform(3, 8)
    return HardWorld(
        scene=Scene(width, height, tuple(objects)),
        duration_sec=duration,
        signs=(*_bars(rng, width, height), *signs),
        waves=(_sway(rng), _sway(rng)),
        speed=_speed(rng, duration),
    )


def sample_film(rng: random.Random) -> Film:
    """Draw a clip of the benchmark."""
    world = sample_world(rng)
    shorter = rng.uniform(144, 384 / max(world.width, world.height))
    codec: Codec = rng.choices(("h264", "vp9", "mpeg4"), (0.5, 0.25, 0.25))[0]
    qualities: tuple[Quality, ...] = ("high", "medium", "low")
    fps = rng.randint(8, 30)
    return Film(
        world=world,
        width=2 * round(shorter * world.width / 2),
        height=2 * round(shorter * world.height / 2),
        fps=fps,
        duration_sec=world.duration_sec,
        codec=codec,
        quality=rng.choice(qualities),
        suffix={"h264": ".mp4", "vp9": ".webm", "mpeg4": ".avi"}[codec],
        ground_seed=rng.getrandbits(32),
        tint=tint_for(rng, [rgb for shape in world.scene.objects for rgb in (shape.rgb, shape.rgb_end)]),
        texture=rng.uniform(0.1, 0.3),
        counts=tuple(range(round(fps * world.duration_sec))),
    )


def tint_for(rng: random.Random, seen: Sequence[Colour]) -> tuple[float, float, float]:
    """A ground's colour, 0 to 1, that no object has: far from the colours that are `seen`, as far as can be had."""

    def nearest(tint: tuple[float, ...]) -> float:
        return min(math.dist(rgb, [255 * part for part in tint]) for rgb in seen)

    tints = [(rng.uniform(0, 0.55), rng.uniform(0, 0.55), rng.uniform(0, 0.55)) for _ in range(24)]
    enough = [tint for tint in tints if nearest(tint) >= _CONTRAST]
    return enough[0] if enough else max(tints, key=nearest)


def _texts(rng: random.Random) -> list[str]:
    """A number, a word, both, or nothing."""
    number, word = str(rng.randint(10, 9999)), rng.choice(WORDS)
    return rng.choice(([number], [word], [number, word], [word, number], []))


def _sign(rng: random.Random, text: str, width: float, height: float) -> Sign:
    dark, light = (rng.randint(0, 50),) * 3, (rng.randint(215, 255),) * 3
    plate, ink = (dark, light) if rng.random() < 0.5 else (light, dark)
    sign = Sign(text, 0.0, 0.0, rng.uniform(0.17, 0.22), plate, ink)
    side, end = sign.half_width + _SWAY, sign.height / 2 + _SWAY
    return Sign(
        text, rng.uniform(side, width - side), rng.uniform(end, height - end), sign.height, plate, ink
    )


def _overlap(one: Sign, other: Sign) -> bool:
    beside = abs(one.x - other.x) > one.half_width + other.half_width + 0.02
    return not beside and abs(one.y - other.y) < (one.height + other.height) / 2 + 0.02


def _bars(rng: random.Random, width: float, height: float) -> list[Sign]:
    """Posts and rails that hide a part of what is behind them: thinner than the smallest object."""
    bars = []
    for _ in range(rng.randint(0, 2)):
        grey: Colour = (rng.randint(60, 110),) * 3
        thick, upright = rng.uniform(0.03, 0.05), rng.random() < 0.5
        long = round(1.5 * (height if upright else width) / thick)
        points, tall = ((long, 1), thick * (long + 2) / 3) if upright else ((1, long), thick)
        bars.append(Sign("", rng.uniform(0, width), rng.uniform(0, height), tall, grey, grey, points))
    return bars


def _sway(rng: random.Random) -> tuple[tuple[float, float, float], ...]:
    return tuple(
        (share * _SWAY, rng.uniform(*band), rng.uniform(0, math.tau))
        for share, band in ((0.6, (0.1, 0.3)), (0.4, (1.0, 3.0)))
    )


def _speed(rng: random.Random, duration: float) -> tuple[float, float]:
    """At most a quarter of a side over the clip, in any direction; a third of the grounds stay."""
    far = 0.0 if rng.random() < 1 / 3 else rng.uniform(0.05, 0.25)
    angle = rng.uniform(0, math.tau)
    return far * math.cos(angle) / duration, far * math.sin(angle) / duration


def _place(
    rng: random.Random, others: Sequence[Shape], signs: Sequence[Sign], width: float, height: float
) -> Shape | None:
    """Find room for one object of a colour that no other has, or give up after some tries."""
    used = {name for shape in others for name in (shape.colour, shape.colour_end)}
    colour, colour_end = rng.sample([name for name in PALETTE if name not in used], 2)
    motion = pick_motion(rng)
    if motion != "turn":
        colour_end = colour
    rgb = jittered(rng, PALETTE[colour], JITTER)
    for _ in range(40):
        radius, radius_end = _radii(rng, motion)
        edge = max(radius, radius_end) + _EDGE
        x0, y0 = rng.uniform(edge, width - edge), rng.uniform(edge, height - edge)
        direction = rng.choice(list(DIRECTIONS)) if motion == "move" else None
        x1, y1 = destination(rng, direction, x0, y0, width, height, edge)
        inside = edge <= x1 <= width - edge and edge <= y1 <= height - edge
        ends = ((x0, y0, radius), (x1, y1, radius_end))
        if not inside or any(_hidden(sign, *end) for sign in signs for end in ends):
            continue
        if any(_too_close(shape, ends) for shape in others):
            continue
        colours = (colour, colour_end)
        return drawn_shape(
            rng, motion, direction, ends, colours, rgb, palette=PALETTE, jitter=JITTER, hole=(0.35, 0.5)
        )
    return None


def _radii(rng: random.Random, motion: Motion) -> tuple[float, float]:
    small, large = _RADII
    if motion in ("grow", "shrink"):
        start = rng.uniform(small, 0.04)
        grown = start * rng.uniform(1.8, 2.4)
        return (start, grown) if motion == "grow" else (grown, start)
    radius = rng.uniform(small, large)
    return radius, radius


def _hidden(sign: Sign, x: float, y: float, radius: float) -> bool:
    beside = abs(x - sign.x) > sign.half_width + radius
    return not beside and abs(y - sign.y) < sign.height / 2 + radius


def _too_close(other: Shape, ends: Sequence[tuple[float, float, float]]) -> bool:
    theirs = ((other.x0, other.y0, other.radius), (other.x1, other.y1, other.radius_end))
    return any(
        math.hypot(x - ox, y - oy) < _VISIBLE * (radius + oradius)
        for (x, y, radius), (ox, oy, oradius) in zip(ends, theirs, strict=True)
    )
