"""`python -m sharpv_cli.docs.pictures [FOLDER]`: the README's pictures, drawn anew by the built-in model's own answer.

Beside each picture lies the document that it shows, with its digest in the picture. The clip is bright, so that one
sees what was pruned. The threshold M is one at which short clips lose layers, too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from sharpv_cli.api import Sharpv
from sharpv_cli.docs import DOCS
from sharpv_cli.report.answer_picture import answer_picture
from sharpv_cli.report.document import Asked
from sharpv_cli.report.pages import ThemeName
from sharpv_cli.settings import resolve
from sharpv_cli.shapes.render import as_batch, render
from sharpv_cli.shapes.world import COLOURS, SHAPES, Scene, Shape
from sharpv_cli.text import dump
from sharpv_cli.video.encoding import write_clip

FOLDER = DOCS / "images"
NAME, QUESTION = "kept", "Which direction does the red circle move?"
_WIDTH, _HEIGHT, _RATE, _FRAMES = 480, 360, 15.0, 60
_ASKED = 4  # times: the first pays for loading, and the least disturbed one is shown
_ABOVE, _BELOW = (226, 236, 240), (244, 230, 205)  # of the ground: a light sky, and sand


def draw(folder: Path) -> None:
    """Ask about the clip, and write what came of it."""
    resolved = resolve({"seen": "off", "m": 0.3}, {}, profile="tiny")
    with tempfile.TemporaryDirectory() as work, Sharpv(resolved.settings) as model:
        clip = Path(work) / "shapes.mp4"
        write_clip(clip, _frames(), _RATE)
        answers = [model.ask(str(clip), QUESTION) for _ in range(_ASKED)]
    answer = min(answers, key=lambda one: one.timing.ttft_sec)
    answer = replace(answer, video=replace(answer.video, path="shapes.mp4"))
    asked = Asked(answer, resolved.told)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.json").write_text(f"{dump(asked.document(), indent=1)}\n", encoding="utf-8")
    for theme in get_args(ThemeName):
        picture = answer_picture([asked], kind="svg", theme=theme)
        (folder / f"{NAME}-{theme}.svg").write_bytes(picture)


def _frames() -> Iterator[NDArray[np.uint8]]:
    circle = _object("red", "circle", 1.12, 0.3, 0.13)
    scene = Scene(
        _WIDTH / _HEIGHT,
        1.0,
        (
            replace(circle, motion="move", direction="left", x1=0.25),
            _object("blue", "square", 0.45, 0.74, 0.13),
            _object("purple", "star", 1.05, 0.72, 0.13),
        ),
    )
    shade = torch.linspace(0, 1, _HEIGHT)[None, :, None]
    above, below = (torch.tensor(colour)[:, None, None] / 255 for colour in (_ABOVE, _BELOW))
    ground = (above + (below - above) * shade).expand(1, 3, _HEIGHT, _WIDTH)
    kinds = [[SHAPES.index(shape.kind)] for shape in scene.objects]
    times = (torch.arange(_FRAMES) + 0.5)[None] / _FRAMES
    drawn = render(as_batch([scene], tuple(COLOURS)), ground, times, kinds=kinds).frames[0]
    yield from (drawn * 255).round().byte().permute(0, 2, 3, 1).numpy()


def _object(colour: str, kind: str, x: float, y: float, radius: float) -> Shape:
    rgb = COLOURS[colour]
    return Shape(
        kind, colour, colour, rgb, rgb, "still", None, x, y, x, y, radius, radius, 0.5, -1.0, 2.0, 2.0
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    draw(parser.parse_args().folder)
