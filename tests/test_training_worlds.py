"""The other worlds in training: batches show what single clips show, and their targets are where things are."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from sharpv_cli.shapes.films import Film
from sharpv_cli.shapes.hard import PALETTE, sample_world, tint_for
from sharpv_cli.shapes.offtopic import UNKNOWN
from sharpv_cli.training import checkpoint, train
from sharpv_cli.training.batches import Batches
from sharpv_cli.training.targets import staged_targets
from sharpv_cli.training.worlds import SOURCES, _seen, draw, moments, staged

SIDE = checkpoint.IMAGE_SIZE


@pytest.fixture(scope="module")
def tokenizer():
    return checkpoint.train_tokenizer(vocabulary=400, clips=50)


@pytest.mark.parametrize("name", ["hard", "long"])
def test_a_batch_shows_what_its_clips_show(name: str) -> None:
    """On plain grounds, with other objects, signs and sizes beside each other in the batch."""
    rng, source = random.Random(3), SOURCES[name]
    worlds = [source.sample(rng) for _ in range(5)]
    clips = staged(worlds, source, 3, random.Random(7))
    clips = replace(clips, texture=torch.zeros(5), tint=torch.full((5, 3), 0.4))
    drawn, shares = draw(clips, torch.Generator().manual_seed(0), torch.full((5, 1, 1, 1), 2.0))
    assert drawn.shape == (5, 3, 3, SIDE, SIDE)
    assert shares.shape[2] == clips.states.shape[2]
    chance = random.Random(7)
    for place, world in enumerate(worlds):
        times = moments(chance, world.duration_sec, 3)
        tint_for(chance, _seen(world))  # looked at nowhere here
        film = Film(
            world, SIDE, SIDE, 10, world.duration_sec, "h264", "high", ".mp4", 0, (0.4, 0.4, 0.4), 0.0, (0,)
        )
        canvas = torch.full((1, 3, 205, 205), 0.4)
        alone = film._drawn(canvas, times)
        assert torch.allclose(drawn[place], alone, atol=1e-4), place


def test_targets_are_the_objects_own() -> None:
    """The patch in the middle of an object in front has its colour, its shape and its place."""
    rng, source = random.Random(11), SOURCES["hard"]
    worlds = [replace(sample_world(rng), signs=()) for _ in range(6)]
    clips = staged(worlds, source, 2, rng)
    _, shares = draw(clips, torch.Generator().manual_seed(0), torch.full((6, 1, 1, 1), 2.0))
    targets = staged_targets(shares, clips)
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


@pytest.mark.parametrize("world", ["hard", "long", "scenery"])
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


def test_training_of_worlds_keeps_half_for_what_is_known_and_is_fair() -> None:
    regimes = train.WORLD_REGIMES
    assert sum(r.share for r in regimes) == pytest.approx(1.0)
    assert sum(r.share for r in regimes if r.world == "shapes") >= 0.5
    long = [r for r in regimes if r.world == "long"]
    assert sum(r.share for r in long if r.keep is None) == pytest.approx(sum(r.share for r in long if r.keep))
    assert min(r.frames for r in long) == 4 and max(r.frames for r in long) >= 120
    assert {r.frames for r in regimes} <= {4, 8, 16, 32, 64, 128}, "1,536 frames a step divide into each"
