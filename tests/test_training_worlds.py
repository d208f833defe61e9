"""The other worlds in training: batches show what single clips show, and their targets are where things are."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from sharpv_cli.shapes.films import Film
from sharpv_cli.shapes.hard import PALETTE, sample_world
from sharpv_cli.shapes.letters import LETTERS
from sharpv_cli.shapes.offtopic import UNKNOWN
from sharpv_cli.training import checkpoint
from sharpv_cli.training.batches import Batches
from sharpv_cli.training.regimes import WORLD_REGIMES, weighted
from sharpv_cli.training.staging import draw, shares, staged
from sharpv_cli.training.targets import staged_targets
from sharpv_cli.training.worlds import SOURCES, Shot

SIDE = checkpoint.IMAGE_SIZE


@pytest.fixture(scope="module")
def tokenizer():
    return checkpoint.train_tokenizer(vocabulary=400, clips=50)


@pytest.mark.parametrize("name", ["hard", "long"])
def test_a_batch_shows_what_its_clips_show(name: str) -> None:
    """On plain grounds, with other objects, signs and sizes beside each other in the batch."""
    rng, source = random.Random(3), SOURCES[name]
    shots = [Shot.of(source, 3, rng) for _ in range(5)]
    clips = staged(shots, source, random.Random(7))
    clips = replace(clips, texture=torch.zeros(5), tint=torch.full((5, 3), 0.4))
    drawn, covers = draw(clips, torch.Generator().manual_seed(0), torch.full((5, 1, 1, 1), 2.0))
    assert drawn.shape == (5, 3, 3, SIDE, SIDE)
    assert shares(clips, covers).shape == (5, 3, clips.states.shape[2], SIDE, SIDE)
    for place, (world, times) in enumerate((shot.world, shot.times) for shot in shots):
        film = Film(
            SIDE, SIDE, 10, world.duration_sec, "h264", "high", ".mp4", world, 0, (0.4, 0.4, 0.4), 0.0, (0,)
        )
        canvas = torch.full((1, 3, 205, 205), 0.4)
        alone = film._drawn(canvas, times)
        assert torch.allclose(drawn[place], alone, atol=1e-4), place


def test_targets_are_the_objects_own() -> None:
    """The patch in the middle of an object in front has its colour, its shape and its place."""
    rng, source = random.Random(11), SOURCES["hard"]
    worlds = [replace(sample_world(rng), signs=()) for _ in range(6)]
    clips = staged([Shot(world, [0.5, 2.0]) for world in worlds], source, rng)
    _, covers = draw(clips, torch.Generator().manual_seed(0), torch.full((6, 1, 1, 1), 2.0))
    targets = staged_targets(shares(clips, covers), clips)
    checked = 0
    for b, world in enumerate(worlds):
        front = len(world.scene.objects) - 1
        for t in range(2):
            state = clips.states[b, t, front]
            if not state[-1] or world.scene.objects[front].kind == "ring":
                continue
            column, row = (state[4:6] / clips.size[b] * SIDE / checkpoint.PATCH_SIZE).long().tolist()
            patch = row * checkpoint.GRID + column
            shape = world.scene.objects[front]
            assert targets.kind[b, t, patch] == state[0] + 1
            name = list(PALETTE)[int(targets.colour[b, t, patch]) - 1]
            assert name in (shape.colour, shape.colour_end)
            assert torch.allclose(targets.geometry[b, t, patch, :2], state[4:6] / clips.size[b])
            checked += 1
    assert checked >= 4


@pytest.mark.parametrize("world", ["hard", "signs", "long", "scenery"])
def test_questions_and_clips_of_a_batch_belong_together(world: str, tokenizer) -> None:
    """The same seed gives the same batch, another one another; answers are there to be learnt."""
    one, same, other = (
        next(iter(Batches(tokenizer.to_str(), clips=2, frames=4, text=248, seed=seed, world=world)))
        for seed in ("a", "a", "b")
    )
    assert torch.equal(one.ids, same.ids) and torch.equal(one.scenes.states, same.scenes.states)
    assert not torch.equal(one.ids, other.ids)
    assert one.times.shape == (2, 4) and one.scenes.states.shape[:2] == (2, 4)
    answers = [
        tokenizer.decode(one.ids[row, a : b - 1].tolist()) for row in (0, 1) for _, a, b in one.spans[row]
    ]
    assert answers and all(answers)
    if world == "scenery":
        assert set(answers) == {UNKNOWN}


def test_nothing_in_scenery_is_called_a_shape_or_looks_like_one() -> None:
    """No patch is told to be an object, and of what is drawn no outline stays where it was."""
    rng, source = random.Random(6), SOURCES["scenery"]
    clips = staged([Shot.of(source, 3, rng) for _ in range(4)], source, rng)
    pictures = []
    for wild in (True, False):
        frames, covers = draw(
            replace(clips, wild=wild), torch.Generator().manual_seed(1), torch.full((4, 1, 1, 1), 2.0)
        )
        pictures.append(frames)
    targets = staged_targets(shares(clips, covers), clips)
    assert max(share.max() for share in covers) > 0.9, "there are objects"
    assert not any(part.any() for part in (targets.kind, targets.colour, targets.letter))
    bent, straight = pictures
    assert bent.shape == straight.shape and bent.min() >= 0 and bent.max() <= 1
    assert (bent - straight).abs().mean() > 0.03


def test_each_patch_of_a_sign_has_its_letter() -> None:
    """Left to right, whatever the picture's aspect: every letter of a sign that hides nothing else, in its place."""
    rng, source = random.Random(5), SOURCES["signs"]
    shots = [Shot.of(source, 2, rng) for _ in range(12)]
    clips = staged(shots, source, rng)
    nothing = [torch.zeros(24, 1, SIDE, SIDE)] * clips.states.shape[2]
    targets = staged_targets(shares(clips, nothing), clips)
    aspects = set()
    for b, shot in enumerate(shots):
        signs = [sign for sign in shot.world.signs if sign.text]
        written = {(n + 1, letter) for sign in signs for n, letter in enumerate(sign.text.upper())}
        for t in range(2):
            there = targets.letter[b, t] > 0
            places, letters = targets.place[b, t][there].tolist(), targets.letter[b, t][there].tolist()
            assert {(n, LETTERS[k - 1]) for n, k in zip(places, letters, strict=True)} == written
            rows = targets.place[b, t].view(checkpoint.GRID, checkpoint.GRID)
            if len(signs) == 1:
                (row,) = rows[rows.sum(dim=1).argmax()][None]
                assert row[row > 0].tolist() == sorted(row[row > 0].tolist())
        aspects.add((shot.world.width, shot.world.height))
    assert len(aspects) >= 3


def test_training_asks_only_what_its_frames_show() -> None:
    """A flash between two frames is no answer, and is told of nowhere; one that is seen is."""
    rng, source = random.Random(2), SOURCES["long"]
    seen = unseen = 0
    for _ in range(60):
        shot = Shot.of(source, 8, rng)
        names = {f"the {actor.name}" for actor in shot.world.actors}
        shown = {event.who for event in shot.world.events if event.kind == "flash"}
        for event in shot.world.events:
            if event.kind in ("flash", "cross", "hit"):
                assert any(event.start <= time < event.end for time in shot.times)
        brief = [actor for actor in shot.world.actors if 0 < actor.gone - actor.born < 1]
        seen += len(shown)
        unseen += len(brief) - len(shown)
        told = [source.question(shot.world, rng) for _ in range(5)]
        assert {question.answer for question in told if question.type == "needle"} <= shown <= names
    assert seen >= 5 and unseen >= 5


@pytest.mark.parametrize("frames", [8, 64])
def test_long_clips_of_training_are_of_every_length_and_often_close_together(frames: int) -> None:
    rng = random.Random(4)
    lengths = [SOURCES["long"].sample(rng, frames).duration_sec for _ in range(100)]
    close = sum(length / frames <= 2.2 for length in lengths)
    assert close >= 50 and max(lengths) > 120 and min(lengths) >= 9


def test_training_of_worlds_keeps_what_is_known_and_is_fair() -> None:
    """Few frames with all of their tokens are trained as often as many with some, and no context is exceeded."""
    regimes = WORLD_REGIMES
    assert sum(r.share for r in regimes) == pytest.approx(1.0)
    assert sum(r.share for r in regimes if r.world == "shapes") >= 0.3
    long = [r for r in regimes if r.world == "long"]
    assert sum(r.share for r in long if r.keep is None) == pytest.approx(sum(r.share for r in long if r.keep))
    assert min(r.frames for r in regimes) == 4 and max(r.frames for r in long) >= 120
    assert all(r.frames * checkpoint.TOKENS_PER_FRAME + 250 < checkpoint.CONTEXT for r in regimes)
    assert all(1536 * r.load % r.frames == 0 for r in regimes), "1,536 frames a step divide into each"


def test_a_piece_weighs_its_worlds_and_leaves_one_out() -> None:
    regimes = weighted(WORLD_REGIMES, {"shapes": 2.0, "signs": 0.0})
    share = {
        world: sum(r.share for r in regimes if r.world == world) for world in ("shapes", "long", "signs")
    }
    before = {world: sum(r.share for r in WORLD_REGIMES if r.world == world) for world in ("shapes", "long")}
    assert share == pytest.approx({"shapes": 2 * before["shapes"], "long": before["long"], "signs": 0.0})
    assert "signs" not in {r.world for r in regimes}
