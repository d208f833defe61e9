"""Questions about ShapesQA-Hard: ShapesQA's own types, with more to count and near alternatives, and reading."""

from __future__ import annotations

import random
from collections import Counter

from sharpv_cli.shapes.hard import MOST, PALETTE, HardWorld
from sharpv_cli.shapes.phrasings import WORDINGS, Wordings, wordings_of
from sharpv_cli.shapes.questions import WRITERS, Draft, Question, Writers, open_question, posed
from sharpv_cli.shapes.world import DIRECTIONS, SHAPES, Scene

NUMBERS = "zero one two three four five six seven eight nine".split()
NAMES = tuple(f"{colour} {kind}" for colour in PALETTE for kind in SHAPES)
_WORDINGS: Wordings = {**WORDINGS, **wordings_of("hard")}
_WRITTEN = 0.25  # of the questions about clips with a sign
_PLURALS = {kind: f"{kind}es" if kind.endswith("ss") else f"{kind}s" for kind in SHAPES}


def sample_hard_question(world: HardWorld, rng: random.Random) -> Question:
    """Draw a question about `world`."""
    if world.written and rng.random() < _WRITTEN:
        return reading(world, rng)
    return posed(*open_question(world.scene, rng, _WORDINGS, _WRITERS), rng)


def reading(world: HardWorld, rng: random.Random) -> Question:
    """What one of its signs says."""
    text = rng.choice(world.written)
    kind = "number" if text.isdigit() else "word"
    return posed(Question("read", rng.choice(_WORDINGS[kind]), text), (), rng)


def _count(scene: Scene, rng: random.Random, wordings: Wordings) -> Draft:
    return rng.choice(wordings["count"]), NUMBERS[len(scene.objects)], tuple(NUMBERS[1 : MOST + 1])


def _count_kind(scene: Scene, rng: random.Random, wordings: Wordings) -> Draft:
    """Of one shape; now and then none."""
    counted = Counter(shape.kind for shape in scene.objects)
    kind = rng.choice(SHAPES if rng.random() < 0.3 else list(counted))
    text = rng.choice(wordings["kind"]).format(shape=_PLURALS[kind])
    return text, NUMBERS[counted[kind]], tuple(NUMBERS[:6])


def _exists(scene: Scene, rng: random.Random, wordings: Wordings) -> Draft:
    """What is not there has the shape or the colour of something that is."""
    there = {
        f"{colour} {shape.kind}" for shape in scene.objects for colour in (shape.colour, shape.colour_end)
    }
    text, shape = rng.choice(wordings["exists"]), rng.choice(scene.objects)
    if rng.random() < 0.5:
        return text.format(object=shape.name), "yes", ()
    near = [f"{colour} {shape.kind}" for colour in PALETTE] + [f"{shape.colour} {kind}" for kind in SHAPES]
    return text.format(object=rng.choice([name for name in near if name not in there])), "no", ()


_WRITERS: Writers = {
    **{
        kind: WRITERS[kind]
        for kind in ("colour", "shape", "direction", "moves", "event", "place", "order", "which")
    },
    "count": (2.0, _count),
    "kind": (2.0, _count_kind),
    "exists": (0.9, _exists),
}
_THINGS = tuple(f"the {name}" for name in NAMES)
ANSWERS: dict[str, tuple[str, ...]] = {
    "colour": tuple(PALETTE),
    "shape": SHAPES,
    "count": tuple(NUMBERS[1:]),
    "kind": tuple(NUMBERS),
    "direction": tuple(DIRECTIONS),
    "moves": ("yes", "no"),
    "exists": ("yes", "no"),
    "place": ("top left", "top right", "bottom left", "bottom right"),
    "order": _THINGS,
    "which": _THINGS,
}
