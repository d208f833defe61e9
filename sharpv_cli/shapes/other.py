"""A second renderer of ShapesQA's scenes, which no training ever saw: nothing of the first one's drawing is in it.

Polygons with outlines, light and shadows in a slight perspective, on papers with patterns; other jitter of the colours,
other proportions, smoothed by drawing twice as large, grain, and other codecs.
"""

from __future__ import annotations

import colorsys
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from sharpv_cli.shapes.filmed import Filmed
from sharpv_cli.shapes.world import COLOURS, Scene, Shape, sample_scene
from sharpv_cli.video.encoding import Codec, Quality

_FINER = 2  # drawn so many times as large
_TILT = 0.12  # how much smaller the far edge is
_PATTERNS = ("plain", "checks", "stripes", "dots", "rings")
_SUFFIXES: dict[Codec, str] = {"hevc": ".mp4", "mjpeg": ".avi"}

Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class OtherClip(Filmed):
    """A scene in the other drawing. `seed` decides what is left: angles, papers, light."""

    scene: Scene
    seed: int

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        look = _Look(self)
        total = round(self.fps * self.duration_sec)
        for index in range(total):
            yield look.frame((index + 0.5) / total)


def sample_other(rng: random.Random) -> OtherClip:
    """Draw a clip of the benchmark."""
    scene = sample_scene(rng)
    shorter = rng.uniform(112, 320 / max(scene.width, scene.height))
    codec: Codec = rng.choice(("hevc", "mjpeg"))
    quality: Quality = rng.choice(("high", "medium"))
    return OtherClip(
        scene=scene,
        width=2 * round(shorter * scene.width / 2),
        height=2 * round(shorter * scene.height / 2),
        fps=rng.choice((8, 10, 12, 15)),
        duration_sec=rng.uniform(2, 6),
        codec=codec,
        quality=quality,
        suffix=_SUFFIXES[codec],
        seed=rng.getrandbits(32),
    )


class _Look:
    """How one clip is drawn."""

    def __init__(self, clip: OtherClip) -> None:
        self.clip, rng = clip, random.Random(f"other:{clip.seed}")
        self.unit = _FINER * math.sqrt(clip.width * clip.height / (clip.scene.width * clip.scene.height))
        self.tilt = rng.uniform(-_TILT, _TILT)
        self.dark_lines = rng.random() < 0.7
        self.line = max(2, round(self.unit * rng.uniform(0.006, 0.012)))
        self.light = rng.uniform(0, math.tau)
        self.angles = [rng.uniform(-0.2, 0.2) for _ in clip.scene.objects]
        self.colours = [(_other(rng, o.colour), _other(rng, o.colour_end)) for o in clip.scene.objects]
        self.grain = np.random.default_rng(rng.getrandbits(32))
        self.rough = rng.uniform(0, 5)
        self.paper = self._paper(rng)

    def frame(self, time: float) -> NDArray[np.uint8]:
        """At a time of 0 to 1."""
        picture = self.paper.copy()
        for shape, angle, colours in zip(self.clip.scene.objects, self.angles, self.colours, strict=True):
            if shape.appears_at <= time <= shape.vanishes_at:
                self._object(picture, shape, angle, colours[time >= shape.turns_at], time)
        small = np.asarray(
            picture.resize((self.clip.width, self.clip.height), Image.Resampling.BOX), np.float32
        )
        noisy = small + self.rough * self.grain.standard_normal(small.shape[:2], dtype=np.float32)[..., None]
        return noisy.round().clip(0, 255).astype(np.uint8)

    def _object(self, picture: Image.Image, shape: Shape, angle: float, colour: Colour, time: float) -> None:
        """Its shadow, its body with an outline, and where the light falls on it."""
        x, y = shape.x0 + (shape.x1 - shape.x0) * time, shape.y0 + (shape.y1 - shape.y0) * time
        radius = shape.radius + (shape.radius_end - shape.radius) * time
        away = (0.12 * radius * math.cos(self.light), 0.12 * radius * math.sin(self.light))
        outlines = [_turned(ring, angle) for ring in _rings(shape.kind)]
        place = [[self._at(x + radius * px, y + radius * py) for px, py in ring] for ring in outlines]
        shade = [
            [self._at(x + radius * px + away[0], y + radius * py + away[1]) for px, py in ring]
            for ring in outlines
        ]
        mask = _mask(picture.size, place)
        picture.paste(_mixed(self.under, (0, 0, 0), 0.55), mask=_mask(picture.size, shade))
        picture.paste(colour, mask=mask)
        lit = [
            [(px - self.unit * away[0] * 2, py - self.unit * away[1] * 2) for px, py in ring]
            for ring in place
        ]
        both = Image.composite(mask, Image.new("L", picture.size), _mask(picture.size, lit))
        soft = both.filter(ImageFilter.GaussianBlur(self.unit * radius * 0.15)).point(
            lambda value: value * 0.35
        )
        picture.paste(
            _mixed(colour, (255, 255, 255), 0.5),
            mask=Image.composite(soft, Image.new("L", picture.size), mask),
        )
        edge = (15, 15, 20) if self.dark_lines else (250, 250, 245)
        drawing = ImageDraw.Draw(picture)
        for ring in place:
            drawing.line([*ring, ring[0]], fill=edge, width=self.line, joint="curve")

    def _at(self, x: float, y: float) -> Point:
        """Where a point of the scene is in the picture: farther rows are smaller."""
        scene = self.clip.scene
        near = 1 + self.tilt * (y / scene.height - 0.5)
        across = (x / scene.width - 0.5) * near + 0.5
        return across * self.clip.width * _FINER, y / scene.height * self.clip.height * _FINER

    def _paper(self, rng: random.Random) -> Image.Image:
        size = (self.clip.width * _FINER, self.clip.height * _FINER)
        seen = [colour for pair in self.colours for colour in pair]
        papers = [(rng.randint(15, 170), rng.randint(15, 170), rng.randint(15, 170)) for _ in range(24)]
        self.under = max(papers, key=lambda paper: min(math.dist(paper, colour) for colour in seen))
        paper = Image.new("RGB", size, self.under)
        drawing, other = ImageDraw.Draw(paper), _mixed(self.under, (0, 0, 0), rng.uniform(0.08, 0.22))
        step, pattern = max(6, round(self.unit * rng.uniform(0.06, 0.16))), rng.choice(_PATTERNS)
        for row, top in enumerate(range(0, size[1], step)):
            for column, left in enumerate(range(0, size[0], step)):
                box = (left, top, left + step - 1, top + step - 1)
                if (pattern == "checks" and (row + column) % 2) or (
                    pattern == "stripes" and (row + column) % 4 == 0
                ):
                    drawing.rectangle(box, fill=other)
                elif pattern in ("dots", "rings"):
                    inner = (left + step // 4, top + step // 4, left + 3 * step // 4, top + 3 * step // 4)
                    fill = other if pattern == "dots" else None
                    drawing.ellipse(inner, fill=fill, outline=other, width=max(1, step // 12))
        return paper


def _other(rng: random.Random, name: str) -> Colour:
    """A colour that goes by the same name: of another hue, strength and brightness."""
    hue, strength, value = colorsys.rgb_to_hsv(*(part / 255 for part in COLOURS[name]))
    if name != "white":
        hue, strength = hue + rng.uniform(-0.02, 0.02), min(1.0, strength * rng.uniform(0.88, 1.2))
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, strength, min(1.0, value * rng.uniform(0.85, 1.1)))
    return round(255 * red), round(255 * green), round(255 * blue)


def _mixed(colour: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def _mask(size: tuple[int, int], rings: Sequence[Sequence[Point]]) -> Image.Image:
    """255 within the first ring and outside of the second."""
    mask = Image.new("L", size)
    drawing = ImageDraw.Draw(mask)
    for ring, value in zip(rings, (255, 0), strict=False):
        drawing.polygon(list(ring), fill=value)
    return mask


def _rings(kind: str) -> list[list[Point]]:
    """The outlines of a shape of radius 1, y down: one, or two where there is a hole."""
    match kind:
        case "circle":
            return [_regular(48)]
        case "square":
            return [[(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]]
        case "triangle":
            return [_regular(3)]
        case "star":
            inner = _regular(5, 0.42, math.pi / 5)
            return [[point for pair in zip(_regular(5), inner, strict=True) for point in pair]]
        case "ring":
            return [_regular(48), _regular(48, 0.55)]
        case "cross":
            a = 0.38
            half = [(-a, -1), (a, -1), (a, -a), (1, -a), (1, a), (a, a)]
            return [[*half, *((-x, -y) for x, y in half)]]
    raise AssertionError(kind)


def _regular(corners: int, radius: float = 1.0, turn: float = 0.0) -> list[Point]:
    """The first corner is up, the others go round to the right."""
    angles = [turn + math.tau * corner / corners for corner in range(corners)]
    return [(radius * math.sin(angle), -radius * math.cos(angle)) for angle in angles]


def _turned(ring: Sequence[Point], angle: float) -> list[Point]:
    cos, sin = math.cos(angle), math.sin(angle)
    return [(x * cos - y * sin, x * sin + y * cos) for x, y in ring]
