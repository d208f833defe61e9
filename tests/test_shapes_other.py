"""The second renderer: the same scenes and answers, none of the first one's drawing, and never in training."""

from __future__ import annotations

import ast
import colorsys
import math
import random
from pathlib import Path

import numpy as np
import pytest
from run_cli import ROOT

from sharpv_cli.evaluation.datasets import shapes
from sharpv_cli.shapes.other import OtherClip, sample_other
from sharpv_cli.shapes.world import COLOURS
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.sampling import Sampling

CLIPS = sorted(
    (shapes.held_out_other(index)[1] for index in range(40)), key=lambda c: c.width * c.height * c.fps
)


def test_training_cannot_have_seen_it() -> None:
    """No module of the training imports it, nor does anything that those import of `shapes`."""
    waiting = sorted((ROOT / "sharpv_cli" / "training").glob("*.py"))
    seen: set[Path] = set()
    while waiting:
        file = waiting.pop()
        seen.add(file)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sharpv_cli.shapes"):
                parts = (node.module or "").split(".")[1:]
                names = [ROOT / "sharpv_cli" / Path(*parts, f"{alias.name}.py") for alias in node.names]
                for found in (ROOT / "sharpv_cli" / Path(*parts).with_suffix(".py"), *names):
                    if found.exists() and found not in seen:
                        waiting.append(found)
    assert {"batches.py", "world.py"} <= {file.name for file in seen}
    assert "other.py" not in {file.name for file in seen}
    drawing = (ROOT / "sharpv_cli" / "shapes" / "other.py").read_text()
    assert "render" not in drawing.replace("renderer", "")
    assert "painting" not in drawing


def test_the_same_seed_is_the_same_clip() -> None:
    one, other = sample_other(random.Random(2)), sample_other(random.Random(2))
    assert one == other
    assert (next(one.frames()) == next(other.frames())).all()


@pytest.mark.parametrize("clip", CLIPS[:3], ids=lambda clip: f"{clip.width}x{clip.height}")
def test_pixels_have_the_colours_that_are_told(clip: OtherClip) -> None:
    """Around the centre of whatever nothing is in front of at the start and at the end, nearest by hue."""
    every = list(clip.frames())
    looked = 0
    for picture, time in ((every[0], 0.0), (every[-1], 1.0)):
        there = [o for o in clip.scene.objects if o.appears_at <= time <= o.vanishes_at and o.kind != "ring"]
        for shape in there:
            x, y = (shape.x1, shape.y1) if time else (shape.x0, shape.y0)
            row, column = int(y / clip.scene.height * clip.height), int(x / clip.scene.width * clip.width)
            rgb = np.median(picture[row - 1 : row + 2, column - 1 : column + 2].reshape(-1, 3), axis=0)
            name = shape.colour_end if time >= shape.turns_at else shape.colour
            assert nearest(rgb) == name, (shape, rgb)
            looked += 1
    assert looked or all(o.kind == "ring" for o in clip.scene.objects)


def nearest(rgb: np.ndarray) -> str:
    hue, strength, _ = colorsys.rgb_to_hsv(*(rgb / 255))
    if strength < 0.2:
        return "white"
    hues = {
        name: colorsys.rgb_to_hsv(*(np.array(c) / 255))[0] for name, c in COLOURS.items() if name != "white"
    }
    return min(hues, key=lambda name: min(abs(hue - hues[name]), 1 - abs(hue - hues[name])))


def test_every_shape_is_drawn_its_own_way() -> None:
    """How much of its box each one fills, by pixels that are not paper: what tells one shape from another."""
    from sharpv_cli.shapes.other import _mask, _rings

    filled = {}
    for kind in ("circle", "square", "triangle", "star", "ring", "cross"):
        ring = [[(100 + 90 * x, 100 + 90 * y) for x, y in part] for part in _rings(kind)]
        filled[kind] = float((np.asarray(_mask((200, 200), ring)) > 127).mean() * 200 * 200 / 90**2)
    assert filled["circle"] == pytest.approx(math.pi, rel=0.03)
    assert filled["square"] == pytest.approx(4 * 0.85**2, rel=0.03)
    assert filled["triangle"] == pytest.approx(3 * math.sqrt(3) / 4, rel=0.03)
    assert filled["ring"] == pytest.approx(math.pi * (1 - 0.55**2), rel=0.05)
    assert filled["cross"] == pytest.approx(8 * 0.38 - 4 * 0.38**2, rel=0.04)
    assert filled["star"] == pytest.approx(5 * 0.42 * math.sin(math.pi / 5), rel=0.04)


@pytest.mark.parametrize("codec", ["hevc", "mjpeg"])
def test_both_codecs_are_read_back(codec: str, tmp_path: Path) -> None:
    clip = next(clip for clip in CLIPS if clip.codec == codec)
    path = tmp_path / f"clip{clip.suffix}"
    clip.write(path)
    info, sample = sample_frames(path, Sampling(frames=1))
    drawn = list(clip.frames())
    assert (info.codec, info.frames_total) == (codec, len(drawn))
    (place,) = sample.indices
    assert np.abs(sample.images[0].astype(int) - drawn[place]).mean() < 8
