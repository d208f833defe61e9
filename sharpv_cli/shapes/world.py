"""The world of ShapesQA: what a clip can hold, drawn at random from a seed.

Lengths are in units of the frame's shorter side, so that a frame is `width` x `height` with min(width, height) = 1;
times are fractions of the clip, 0 to 1.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 215, 50),
    "purple": (150, 60, 190),
    "orange": (245, 140, 30),
    "cyan": (40, 205, 215),
    "white": (245, 245, 245),
}
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
DIRECTIONS: dict[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
COLOUR_JITTER = 25
MAX_OBJECTS = 4

Motion = Literal["move", "still", "grow", "shrink", "turn", "appear", "vanish"]
_MOTIONS: dict[Motion, float] = {
    "move": 5.0,
    "still": 2.2,
    "grow": 1.1,
    "shrink": 1.1,
    "turn": 1.1,
    "appear": 1.4,
    "vanish": 1.1,
}
_MIN_RADIUS, _MAX_RADIUS = 0.07, 0.16
_GAP = 0.025  # free space around an object, at the start and at the end
_ASPECTS = (16 / 9, 4 / 3, 1.0, 3 / 4, 9 / 16)


@dataclass(frozen=True, slots=True)
class Shape:
    """One object: its look, its path from (x0, y0) to (x1, y1), and when it exists.

    `rgb` and `rgb_end` are 0 to 255; the colour changes at `turns_at`, the object is there from `appears_at` to
    `vanishes_at`; values outside 0 to 1 mean never. `hole` is a ring's inner radius over its outer one.
    """

    kind: str
    colour: str
    colour_end: str
    rgb: tuple[int, int, int]
    rgb_end: tuple[int, int, int]
    motion: Motion
    direction: str | None
    x0: float
    y0: float
    x1: float
    y1: float
    radius: float
    radius_end: float
    hole: float
    appears_at: float
    vanishes_at: float
    turns_at: float

    @property
    def name(self) -> str:
        return f"{self.colour} {self.kind}"

    @property
    def deed(self) -> str:
        """What it does, in the words of the answers."""
        return {
            "move": f"moves {self.direction}",
            "still": "stays still",
            "grow": "grows",
            "shrink": "shrinks",
            "turn": f"turns {self.colour_end}",
            "appear": "appears",
            "vanish": "disappears",
        }[self.motion]


@dataclass(frozen=True, slots=True)
class Scene:
    """A clip's content: the frame's shape and the objects, those in front last."""

    width: float
    height: float
    objects: tuple[Shape, ...]


def sample_scene(rng: random.Random) -> Scene:
    """Draw a scene with one to four objects that do not overlap at the start or at the end."""
    aspect = rng.choice(_ASPECTS) * rng.uniform(0.95, 1.05)
    aspect = min(max(aspect, 9 / 16), 16 / 9)
    width, height = max(aspect, 1.0), max(1 / aspect, 1.0)
    count = rng.randint(1, MAX_OBJECTS)
    names = rng.sample(list(COLOURS), count)
    # Questions about the order of appearance need two objects that appear, which chance alone seldom gives.
    orderly = count >= 2 and rng.random() < 0.18
    objects: list[Shape] = []
    for i, name in enumerate(names):
        motion = "appear" if orderly and i < 2 else pick_motion(rng)
        shape = _place(rng, name, names, objects, motion, width, height)
        if shape is not None:
            objects.append(shape)
    if not objects:
        return sample_scene(rng)
    rng.shuffle(objects)
    return Scene(width, height, tuple(objects))


def pick_motion(rng: random.Random) -> Motion:
    """What an object does, as often as ShapesQA has it."""
    return rng.choices(list(_MOTIONS), list(_MOTIONS.values()))[0]


def _place(
    rng: random.Random,
    colour: str,
    taken: list[str],
    others: list[Shape],
    motion: Motion,
    width: float,
    height: float,
) -> Shape | None:
    """Find room for one object, or give up after some tries."""
    used = {*taken, *(o.colour_end for o in others)}
    colour_end = rng.choice([c for c in COLOURS if c not in used]) if motion == "turn" else colour
    rgb = jittered(rng, COLOURS[colour])
    for _ in range(24):
        radius, radius_end = _radii(rng, motion)
        edge = max(radius, radius_end) + 0.015
        x0, y0 = rng.uniform(edge, width - edge), rng.uniform(edge, height - edge)
        direction = rng.choice(list(DIRECTIONS)) if motion == "move" else None
        x1, y1 = destination(rng, direction, x0, y0, width, height, edge)
        if not (edge <= x1 <= width - edge and edge <= y1 <= height - edge):
            continue
        if any(_too_close(o, x0, y0, radius, x1, y1, radius_end) for o in others):
            continue
        ends = ((x0, y0, radius), (x1, y1, radius_end))
        return drawn_shape(rng, motion, direction, ends, (colour, colour_end), rgb)
    return None


def drawn_shape(
    rng: random.Random,
    motion: Motion,
    direction: str | None,
    ends: tuple[tuple[float, float, float], tuple[float, float, float]],
    colours: tuple[str, str],
    rgb: tuple[int, int, int],
    *,
    palette: Mapping[str, tuple[int, int, int]] = COLOURS,
    jitter: int = COLOUR_JITTER,
    hole: tuple[float, float] = (0.4, 0.6),
) -> Shape:
    """An object between its two `ends`, x, y and radius each, with all else drawn; `hole` bounds a ring's."""
    (x0, y0, radius), (x1, y1, radius_end) = ends
    colour, colour_end = colours
    return Shape(
        kind=rng.choice(SHAPES),
        colour=colour,
        colour_end=colour_end,
        rgb=rgb,
        rgb_end=jittered(rng, palette[colour_end], jitter) if motion == "turn" else rgb,
        motion=motion,
        direction=direction,
        x0=x0,
        y0=y0,
        x1=x1,
        y1=y1,
        radius=radius,
        radius_end=radius_end,
        hole=rng.uniform(*hole),
        appears_at=rng.uniform(0.25, 0.72) if motion == "appear" else -1.0,
        vanishes_at=rng.uniform(0.3, 0.75) if motion == "vanish" else 2.0,
        turns_at=rng.uniform(0.35, 0.65) if motion == "turn" else 2.0,
    )


def jittered(
    rng: random.Random, colour: tuple[int, int, int], most: int = COLOUR_JITTER
) -> tuple[int, int, int]:
    """A colour that differs by at most so much."""
    r, g, b = (min(255, max(0, c + rng.randint(-most, most))) for c in colour)
    return r, g, b


def _radii(rng: random.Random, motion: Motion) -> tuple[float, float]:
    small = rng.uniform(_MIN_RADIUS, 0.09)
    large = min(_MAX_RADIUS, small * rng.uniform(1.6, 2.2))
    if motion == "grow":
        return small, large
    if motion == "shrink":
        return large, small
    radius = rng.uniform(_MIN_RADIUS, _MAX_RADIUS)
    return radius, radius


def destination(
    rng: random.Random, direction: str | None, x: float, y: float, width: float, height: float, edge: float
) -> tuple[float, float]:
    """Where a moving object ends: at least a quarter of the frame away, at most at the frame's edge."""
    if direction is None:
        return x, y
    dx, dy = DIRECTIONS[direction]
    room = {"left": x - edge, "right": width - edge - x, "up": y - edge, "down": height - edge - y}[direction]
    least = 0.26 * (width if dx else height)
    distance = rng.uniform(least, max(least, room))
    return x + dx * distance, y + dy * distance


def _too_close(
    other: Shape, x0: float, y0: float, radius: float, x1: float, y1: float, radius_end: float
) -> bool:
    at_start = math.hypot(x0 - other.x0, y0 - other.y0) < radius + other.radius + _GAP
    at_end = math.hypot(x1 - other.x1, y1 - other.y1) < radius_end + other.radius_end + _GAP
    return at_start or at_end
