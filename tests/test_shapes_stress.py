"""Stressed clips strain what SharpV relies on, and still show what their questions are asked about."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sharpv_cli.shapes.clips import Clip, sample_clip
from sharpv_cli.shapes.questions import sample_question
from sharpv_cli.shapes.stress import MAX_SHIFT, STRESS, TINY_RADIUS, Stress, stressed
from sharpv_cli.shapes.world import Motion, Scene, Shape

_TEXTURED = (3, 7, 13)  # seeds of grounds on which a shift can be seen


def _object(motion: Motion = "still", **changes: object) -> Shape:
    """White, so that it can be told from every ground by brightness alone."""
    rgb = (255, 255, 255)
    x, y, radius = 1.0, 0.3, 0.12
    shape = Shape(
        "circle", "white", "white", rgb, rgb, motion, None, x, y, x, y, radius, radius, 0.5, -1.0, 2.0, 2.0
    )
    return replace(shape, **changes)  # type: ignore[arg-type]


def _clip(*objects: Shape, seed: int = 5) -> Clip:
    return Clip(160, 120, 10, 3.0, "h264", "high", ".mp4", Scene(4 / 3, 1.0, objects), seed)


def _film(clip: Clip, kind: Stress) -> NDArray[np.uint8]:
    return np.stack(list(stressed(clip, kind).frames()))


def _centres(film: NDArray[np.integer]) -> NDArray[np.float64]:
    """Of what is white in each frame, in units of the shorter side: [T, 2], x first."""
    white = film.min(axis=-1) > 200
    return np.array([(np.argwhere(frame).mean(axis=0)[::-1] + 0.5) / film.shape[1] for frame in white])


@pytest.mark.parametrize("kind", STRESS)
def test_a_clip_gives_the_same_film_every_time_and_another_seed_another_one(kind: Stress) -> None:
    clip = _clip(_object(), _object("move", x0=0.2, x1=0.8, direction="right", y0=0.8, y1=0.8, colour="red"))
    film = _film(clip, kind)
    assert film.dtype == np.uint8
    assert film.shape == (clip.frames_total, clip.height, clip.width, 3)
    film_again = stressed(clip, kind)
    for _ in range(2):
        assert np.array_equal(film, np.stack(list(film_again.frames())))
    assert not np.array_equal(film, _film(replace(clip, ground_seed=6), kind))
    assert not np.array_equal(film, np.stack(list(clip.frames())))


@pytest.mark.parametrize("kind", ["noise", "camera", "cuts", "flashing"])
def test_filming_leaves_the_scene_alone(kind: Stress) -> None:
    clip = sample_clip(random.Random("filming"))
    assert stressed(clip, kind).clip == clip


def test_noise_is_new_in_every_frame() -> None:
    clip = _clip(_object())
    film = _film(clip, "noise").astype(int)
    for before, after in pairwise(film):
        assert np.abs(after - before).mean() > 15
    # What is noise goes away in the mean over time.
    assert np.abs(film.mean(axis=0) - next(clip.frames())).mean() < 8


@pytest.mark.parametrize("seed", _TEXTURED)
def test_the_camera_shakes_all_that_is_seen_but_little(seed: int) -> None:
    clip = _clip(_object(), seed=seed)
    film = _film(clip, "camera")
    away = _centres(film) - (1.0, 0.3)
    assert np.abs(away).max() < MAX_SHIFT + 0.005
    assert np.abs(np.diff(away, axis=0)).max() > 0.005
    ground = film[:, -20:, :20].astype(int)
    assert all(np.abs(after - before).max() > 0 for before, after in pairwise(ground))


@pytest.mark.parametrize("seed", _TEXTURED)
def test_the_ground_goes_with_the_objects_when_the_camera_shakes(seed: int) -> None:
    """The ground's own zoom is slow: from one frame to the next it moves as the object does."""
    clip = _clip(_object(), seed=seed)
    film = _film(clip, "camera").astype(int)
    steps = np.rint(np.diff(_centres(film), axis=0) * clip.height).astype(int)
    followed = []
    for (dx, dy), (before, after) in zip(steps, pairwise(film), strict=True):
        if abs(dx) + abs(dy) >= 3:
            here, there = after[40:80, 20:60], after[40 + dy : 80 + dy, 20 + dx : 60 + dx]
            old = before[40:80, 20:60]
            followed.append(np.abs(there - old).mean() < np.abs(here - old).mean())
    assert len(followed) >= 3
    assert np.mean(followed) > 0.8


@pytest.mark.parametrize("seed", range(4))
def test_cuts_swap_the_ground_two_or_three_times_and_keep_the_objects(seed: int) -> None:
    clip = _clip(_object(), seed=seed)
    film = _film(clip, "cuts")
    ground = film[:, :, :80].reshape(len(film), -1).astype(int)
    changes = np.abs(np.diff(ground, axis=0)).mean(axis=1)
    assert 2 <= np.count_nonzero(changes) <= 3
    assert changes[changes > 0].min() > 3
    assert (ground.max(axis=1) == 0).any(), "one of them is black"
    assert np.abs(_centres(film) - (1.0, 0.3)).max() < 0.01


def test_static_does_not_move_or_change() -> None:
    rng = random.Random("static")
    for _ in range(5):
        clip = replace(sample_clip(rng), width=128, height=96, fps=8, duration_sec=2.0)
        still = stressed(clip, "static")
        film = np.stack(list(still.frames()))
        assert (film == film[0]).all()
        assert [o.name for o in still.clip.scene.objects] == [o.name for o in clip.scene.objects]
        for _ in range(40):
            question = sample_question(still.clip.scene, rng)
            assert question.type not in ("direction", "order", "which")
            if question.type == "moves":
                assert question.answer == "no"
            if question.type == "event":
                assert question.answer == "it stays still"


def test_static_shows_an_object_that_would_appear_or_vanish_all_the_time() -> None:
    vanishing = _clip(_object("vanish", vanishes_at=0.4))
    assert len(_centres(_film(vanishing, "static"))) == vanishing.frames_total
    assert np.isfinite(_centres(_film(vanishing, "static"))).all()


def test_tiny_is_tiny_and_still_grows() -> None:
    low, high = TINY_RADIUS
    rng = random.Random("tiny")
    for _ in range(60):
        clip = sample_clip(rng)
        for before, after in zip(clip.scene.objects, stressed(clip, "tiny").clip.scene.objects, strict=True):
            assert low <= min(after.radius, after.radius_end) <= max(after.radius, after.radius_end) <= high
            growth = np.sign(before.radius_end - before.radius)
            assert np.sign(after.radius_end - after.radius) == growth
            if growth:
                assert abs(after.radius_end - after.radius) == pytest.approx(high - low)
            assert (after.name, after.deed) == (before.name, before.deed)


def test_tiny_covers_few_pixels() -> None:
    clip = _clip(_object())
    white = (_film(clip, "tiny")[0].min(axis=-1) > 200).sum()
    low, high = (np.pi * (radius * clip.height) ** 2 for radius in TINY_RADIUS)
    assert 0.5 * low < white < 1.2 * high


def test_flashing_changes_the_brightness_of_the_whole_picture_every_few_frames() -> None:
    clip = _clip(_object())
    film = _film(clip, "flashing").astype(float)
    brightness = film.mean(axis=(1, 2, 3))
    assert brightness.max() > 2 * brightness.min()
    jumps = np.flatnonzero(np.abs(np.diff(brightness)) > 8)
    assert np.diff([-1, *jumps, len(film) - 1]).max() <= 3


def test_flashing_keeps_hues_and_shows_every_colour_as_it_is_at_times() -> None:
    clip = _clip(_object(colour="orange", rgb=(245, 140, 30), rgb_end=(245, 140, 30)))
    middle = _film(clip, "flashing")[:, 36, 120].astype(int)
    assert (middle[:, 0] > middle[:, 1] + 20).all()
    assert (middle[:, 1] > middle[:, 2] + 20).all()
    assert (np.abs(middle - (245, 140, 30)).max(axis=1) <= 1).any()


@pytest.mark.parametrize("kind", STRESS)
def test_a_film_is_encoded_with_all_its_frames(kind: Stress, tmp_path: Path) -> None:
    film = stressed(_clip(_object()), kind)
    path = tmp_path / "film.mp4"
    film.write(path)
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(decoded) == film.clip.frames_total
    # No codec keeps all of the noise.
    limit = 25 if kind == "noise" else 12
    assert np.abs(decoded[0].astype(int) - next(film.frames())).mean() < limit
