"""The worlds beside ShapesQA's own in training: hard and long clips, signs, and scenery that is of no world at all.

What training asks about a clip is what its frames show. A flash between two of them, or a crossing, cannot be seen:
asked for all the same, it would teach to guess.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sharpv_cli.shapes import hard, long
from sharpv_cli.shapes.hard import WORDS, HardWorld
from sharpv_cli.shapes.hard_questions import reading, sample_hard_question
from sharpv_cli.shapes.long_questions import retold, sample_long_question
from sharpv_cli.shapes.long_world import LongWorld
from sharpv_cli.shapes.offtopic import UNKNOWN
from sharpv_cli.shapes.questions import Question, sample_question
from sharpv_cli.shapes.world import sample_scene
from sharpv_cli.training.scenery import Scenery, sample_scenery

LONGEST = 4  # letters of a sign
_CLOSE = 0.6  # of the long clips are so short that few frames show what happens
_CLOSE_SEC = (0.6, 2.2)  # from frame to frame in those
_SHORTEST_SEC = 9.0  # time for two events
_RETOLD = 0.15  # of the questions about long clips
_READ = 0.7  # of the questions about signs


World = HardWorld | LongWorld | Scenery


def sample_signs(rng: random.Random) -> HardWorld:
    """A number, a word or both, whatever their letters: who knows the benchmark's words can guess them."""
    number = "".join(rng.choices(string.digits, k=rng.randint(2, LONGEST)))
    letters = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, LONGEST)))
    word = letters if rng.random() < 0.6 else rng.choice(WORDS)
    return hard.sample_world(rng, rng.choice(((number,), (word,), (number, word))))


def sample_long(rng: random.Random, frames: int) -> LongWorld:
    """Of any length, or of one at which so many frames are close to each other."""
    if rng.random() >= _CLOSE:
        return long.sample_world(rng)
    low, high = (min(max(frames * gap, _SHORTEST_SEC), long.LONGEST_SEC) for gap in _CLOSE_SEC)
    return long.sample_world(rng, low, high)


def _of_signs(world: HardWorld, rng: random.Random) -> Question:
    read = world.written and rng.random() < _READ
    return reading(world, rng) if read else sample_hard_question(world, rng)


def _of_long(world: LongWorld, rng: random.Random) -> Question:
    tell = world.events and rng.random() < _RETOLD
    return retold(world, rng) if tell else sample_long_question(world, rng)


def _of_scenery(world: World, rng: random.Random) -> Question:  # noqa: ARG001 - the same of any
    """A question of ShapesQA's, about something that is not there."""
    return Question("scenery", sample_question(sample_scene(rng), rng, offtopic=0.0).text, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Source:
    """Where worlds for so many frames and questions about them come from; `texture` is from how much to how much."""

    sample: Callable[[random.Random, int], Any]
    question: Callable[[Any, random.Random], Question]
    texture: tuple[float, float]


SOURCES: Mapping[str, Source] = {
    "hard": Source(lambda rng, _: hard.sample_world(rng), sample_hard_question, (0.1, 0.3)),
    "signs": Source(lambda rng, _: sample_signs(rng), _of_signs, (0.1, 0.3)),
    "long": Source(sample_long, _of_long, (0.0, 0.2)),
    "scenery": Source(lambda rng, _: sample_scenery(rng), _of_scenery, (0.1, 1.4)),
}


@dataclass(frozen=True, slots=True)
class Shot:
    """A world, and the moments of it in seconds that a clip shows."""

    world: Any
    times: list[float]

    @classmethod
    def of(cls, source: Source, frames: int, rng: random.Random) -> Shot:
        world = source.sample(rng, frames)
        times = moments(rng, world.duration_sec, frames)
        return cls(world.shown_at(times) if isinstance(world, LongWorld) else world, times)


def moments(rng: random.Random, duration_sec: float, frames: int) -> list[float]:
    """Where uniform sampling lands, in seconds: in the middle of the frame that is on screen."""
    fps = rng.uniform(6, 30)
    return [(int((k + 0.5) / frames * duration_sec * fps) + 0.5) / fps for k in range(frames)]
