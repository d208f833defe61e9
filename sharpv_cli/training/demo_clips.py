"""The clips that `sharpv demo` hands out, drawn anew: `python -m sharpv_cli.training.demo_clips [FOLDER]`.

They lie in the package encoded, because drawing them takes PyTorch, and its import most of a second.
"""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

from sharpv_cli.shapes.clips import Clip
from sharpv_cli.shapes.demo import DEMO_FOLDER
from sharpv_cli.shapes.world import COLOURS, Motion, Scene, Shape
from sharpv_cli.video.encoding import Codec

_WIDTH, _HEIGHT = 4 / 3, 1.0


def draw(folder: Path) -> None:
    """Draw and encode every demo clip into `folder`, which exists."""
    for name, clip in _CLIPS.items():
        clip.write(folder / name)


def _object(colour: str, kind: str, x: float, y: float, radius: float, motion: Motion = "still") -> Shape:
    rgb = COLOURS[colour]
    return Shape(
        kind, colour, colour, rgb, rgb, motion, None, x, y, x, y, radius, radius, 0.5, -1.0, 2.0, 2.0
    )


def _clip(*objects: Shape, seed: int, suffix: str = ".mp4") -> Clip:
    codec: Codec = "vp9" if suffix == ".webm" else "h264"
    return Clip(
        *(320, 240, 15, 4.0),
        codec,
        "high",
        suffix,
        Scene(_WIDTH, _HEIGHT, objects),
        random.Random(seed).getrandbits(32),
    )


_CLIPS = {
    "moving.mp4": _clip(
        replace(_object("red", "circle", 1.1, 0.3, 0.12, "move"), direction="left", x1=0.3),
        _object("blue", "square", 0.5, 0.75, 0.13),
        seed=11,
    ),
    "growing.webm": _clip(
        replace(_object("yellow", "star", 0.9, 0.55, 0.08, "grow"), radius_end=0.16),
        _object("purple", "ring", 0.3, 0.3, 0.12),
        seed=5,
        suffix=".webm",
    ),
    "arriving.mp4": _clip(
        _object("green", "triangle", 0.35, 0.65, 0.13),
        replace(_object("white", "cross", 1.1, 0.3, 0.11, "appear"), appears_at=0.4),
        replace(_object("orange", "square", 0.8, 0.7, 0.1, "appear"), appears_at=0.65),
        seed=3,
    ),
}


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if sys.argv[1:] else DEMO_FOLDER)
