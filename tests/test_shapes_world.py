"""ShapesQA keeps its own specification: sizes, paths, colours, questions that have exactly one answer."""

from __future__ import annotations

import random
from pathlib import Path

import av
import numpy as np
import pytest
from run_cli import SHARPV, run

from sharpv_cli.shapes.clips import sample_clip
from sharpv_cli.shapes.demo import CLIPS
from sharpv_cli.shapes.questions import QUESTION_TYPES, is_right, sample_question
from sharpv_cli.shapes.world import COLOUR_JITTER, COLOURS, Scene, Shape, sample_scene
from sharpv_cli.training.demo_clips import draw


def test_scenes_are_as_specified() -> None:
    rng = random.Random("world")
    for _ in range(400):
        scene = sample_scene(rng)
        assert min(scene.width, scene.height) == pytest.approx(1.0)
        assert 9 / 16 - 1e-6 <= scene.width / scene.height <= 16 / 9 + 1e-6
        assert 1 <= len(scene.objects) <= 4
        used = [c for o in scene.objects for c in {o.colour, o.colour_end}]
        assert len(used) == len(set(used)), "a colour at most once in a clip"
        for shape in scene.objects:
            for radius, x, y in ((shape.radius, shape.x0, shape.y0), (shape.radius_end, shape.x1, shape.y1)):
                assert 0.07 <= radius <= 0.16
                assert radius < x < scene.width - radius
                assert radius < y < scene.height - radius
            if shape.motion == "move":
                horizontal = shape.direction in ("left", "right")
                way = abs(shape.x1 - shape.x0) if horizontal else abs(shape.y1 - shape.y0)
                assert way >= 0.25 * (scene.width if horizontal else scene.height)
            far = np.abs(np.subtract(shape.rgb, COLOURS[shape.colour]))
            assert far.max() <= COLOUR_JITTER


def test_every_type_of_question_comes_up_and_answers_are_short_lower_case() -> None:
    rng = random.Random("questions")
    seen = set()
    for _ in range(4000):
        question = sample_question(sample_scene(rng), rng)
        seen.add(question.type)
        if question.type == "choice":
            assert question.answer in "ABCD"
            assert f"({question.answer})" in question.text
        else:
            assert question.answer == question.answer.lower()
    assert seen == set(QUESTION_TYPES)


def _still(colour: str, kind: str, x: float) -> Shape:
    rgb = COLOURS[colour]
    return Shape(kind, colour, colour, rgb, rgb, "still", None, x, 0.5, x, 0.5, 0.1, 0.1, 0.5, -1.0, 2.0, 2.0)


def test_the_answers_of_a_known_scene() -> None:
    scene = Scene(4 / 3, 1.0, (_still("red", "circle", 1.0), _still("orange", "star", 0.3)))
    rng = random.Random("known")
    answers: dict[str, set[str]] = {}
    for _ in range(3000):
        question = sample_question(scene, rng, offtopic=0.0)
        answers.setdefault(question.type, set()).add(question.answer)
    assert answers["colour"] == {"red", "orange"}
    assert answers["shape"] == {"circle", "star"}
    assert answers["count"] == {"two"}
    assert answers["moves"] == {"no"}
    assert answers["event"] == {"it stays still"}
    assert answers["describe"] == {"an orange star stays still. a red circle stays still."}
    assert "direction" not in answers
    assert "place" not in answers, "an object on the middle line is in no quarter"


def test_a_and_an_are_both_accepted_and_nothing_else() -> None:
    assert is_right("a orange star appears.", "an orange star appears.")
    assert is_right(" left\n", "left")
    assert not is_right("an orange star appears", "an orange star appears.")
    assert not is_right("Left", "left")


def test_clips_are_encoded_as_drawn(tmp_path: Path) -> None:
    rng = random.Random("clips")
    for index in range(3):
        clip = sample_clip(rng)
        assert 96 <= min(clip.width, clip.height) <= max(clip.width, clip.height) <= 480
        path = tmp_path / f"{index}{clip.suffix}"
        clip.write(path)
        encoded = decoded(path)
        assert len(encoded) == clip.frames_total
        drawn = next(clip.frames())
        assert encoded[0].shape == drawn.shape
        assert np.abs(encoded[0].astype(int) - drawn).mean() < 12


def test_demo_clips_are_those_of_the_package_and_these_as_drawn(tmp_path: Path) -> None:
    assert run(SHARPV, "demo", "demo", home=tmp_path).returncode == 0
    draw(tmp_path)
    for clip in CLIPS:
        name = clip.path.name
        assert (tmp_path / "demo" / name).read_bytes() == clip.path.read_bytes(), name
        shipped, drawn = decoded(clip.path), decoded(tmp_path / name)
        assert shipped.shape == drawn.shape == (60, 240, 320, 3)
        assert np.abs(shipped.astype(int) - drawn).mean() < 1  # encoders of other versions differ by less


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
