"""A few small clips with known answers, for `sharpv demo` and the README."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

from sharpv_cli.shapes.clips import Clip, write
from sharpv_cli.shapes.world import COLOURS, Motion, Scene, Shape
from sharpv_cli.video.encoding import Codec

_WIDTH, _HEIGHT = 4 / 3, 1.0


@dataclass(frozen=True, slots=True)
class DemoClip:
    """A clip that was written, with a question and its right answer."""

    path: Path
    question: str
    answer: str


def write_demo(folder: Path) -> list[DemoClip]:
    """Write the demo clips into `folder`, which exists. Raises UsageError when it cannot be written."""
    written = []
    for name, clip, question, answer in _CLIPS:
        path = folder / f"{name}{clip.suffix}"
        write(clip, path)
        written.append(DemoClip(path, question, answer))
    return written


def _object(colour: str, kind: str, x: float, y: float, radius: float, motion: Motion = "still") -> Shape:
    rgb = COLOURS[colour]
    return Shape(
        kind, colour, colour, rgb, rgb, motion, None, x, y, x, y, radius, radius, 0.5, -1.0, 2.0, 2.0
    )


def _clip(*objects: Shape, seed: int, suffix: str = ".mp4") -> Clip:
    codec: Codec = "vp9" if suffix == ".webm" else "h264"
    return Clip(
        Scene(_WIDTH, _HEIGHT, objects),
        320,
        240,
        15,
        4.0,
        codec,
        "high",
        suffix,
        random.Random(seed).getrandbits(32),
    )


_CLIPS = (
    (
        "moving",
        _clip(
            replace(_object("red", "circle", 1.1, 0.3, 0.12, "move"), direction="left", x1=0.3),
            _object("blue", "square", 0.5, 0.75, 0.13),
            seed=11,
        ),
        "Which direction does the red circle move?",
        "left",
    ),
    (
        "growing",
        _clip(
            replace(_object("yellow", "star", 0.9, 0.55, 0.08, "grow"), radius_end=0.16),
            _object("purple", "ring", 0.3, 0.3, 0.12),
            seed=5,
            suffix=".webm",
        ),
        "What happens to the yellow star?",
        "it grows",
    ),
    (
        "arriving",
        _clip(
            _object("green", "triangle", 0.35, 0.65, 0.13),
            replace(_object("white", "cross", 1.1, 0.3, 0.11, "appear"), appears_at=0.4),
            replace(_object("orange", "square", 0.8, 0.7, 0.1, "appear"), appears_at=0.65),
            seed=3,
        ),
        "Which object appears last?",
        "the orange square",
    ),
)
