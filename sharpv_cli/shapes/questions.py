"""Questions about a scene, in several phrasings, with the one answer that is right."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from sharpv_cli.shapes.offtopic import UNKNOWN, offtopic_question
from sharpv_cli.shapes.world import COLOURS, DIRECTIONS, SHAPES, Scene, Shape

_NUMBERS = ("zero", "one", "two", "three", "four", "five")
_DEEDS = (
    *(f"it moves {d}" for d in DIRECTIONS),
    "it stays still",
    "it grows",
    "it shrinks",
    "it appears",
    "it disappears",
)
_CORNERS = ("top left", "top right", "bottom left", "bottom right")
# Appearances closer than this (a fraction of the clip) cannot be told apart in eight frames.
_MIN_ORDER_GAP = 0.14
# Objects this near to a middle line (a fraction of the frame) are in no clear quarter.
_MIDDLE = 0.07


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its only right answer (lower case, or an option's letter) and its type."""

    type: str
    text: str
    answer: str


_Draft = tuple[
    str, str, tuple[str, ...]
]  # question, answer, wrong and right options (empty: open question only)


def sample_question(scene: Scene, rng: random.Random, *, offtopic: float = 0.04) -> Question:
    """Draw a question about `scene`; with probability `offtopic`, one that it cannot answer."""
    if rng.random() < offtopic:
        return Question("offtopic", _restyle(offtopic_question(rng), rng), UNKNOWN)
    while True:
        kind = rng.choices(list(_WRITERS), [w for w, _ in _WRITERS.values()])[0]
        draft = _WRITERS[kind][1](scene, rng)
        if draft is None:
            continue
        text, answer, options = draft
        if options and rng.random() < 0.22:
            return Question("choice", *_as_choice(text, answer, options, rng))
        return Question(kind, _restyle(text, rng), answer)


def _restyle(text: str, rng: random.Random) -> str:
    """The way people type: without capitals or the question mark, with a courtesy, with spare words."""
    if rng.random() < 0.12:
        text = rng.choice(("In the video, ", "Please tell me: ", "In this clip, ", "Tell me, ")) + (
            text[0].lower() + text[1:]
        )
    if rng.random() < 0.3:
        text = text.lower()
    if rng.random() < 0.25:
        text = text.rstrip("?.")
    return text


def _as_choice(text: str, answer: str, options: tuple[str, ...], rng: random.Random) -> tuple[str, str]:
    wrong = [o for o in dict.fromkeys(options) if o != answer]
    shown = [*rng.sample(wrong, min(len(wrong), 3)), answer]
    rng.shuffle(shown)
    listed = " ".join(f"({letter}) {option}" for letter, option in zip("ABCD", shown, strict=False))
    return f"{text} {listed} Answer with the letter.", "ABCD"[shown.index(answer)]


def _colour_of(scene: Scene, rng: random.Random) -> _Draft | None:
    shape = rng.choice(scene.objects)
    if shape.motion == "turn" or sum(o.kind == shape.kind for o in scene.objects) > 1:
        return None
    text = rng.choice(
        (
            "What color is the {}?",
            "What colour is the {}?",
            "Which color does the {} have?",
            "What is the color of the {}?",
            "Tell me the colour of the {}.",
            "The {} is what color?",
        )
    )
    return text.format(shape.kind), shape.colour, tuple(COLOURS)


def _shape_of(scene: Scene, rng: random.Random) -> _Draft:
    shape = rng.choice(scene.objects)
    text = rng.choice(
        (
            "What shape is the {} object?",
            "Which shape is {}?",
            "What is the {} thing?",
            "What is the shape of the {} object?",
            "What form does the {} object have?",
            "The {} object is what shape?",
        )
    )
    return text.format(shape.colour), shape.kind, SHAPES


def _count(scene: Scene, rng: random.Random) -> _Draft:
    text = rng.choice(
        (
            "How many objects are there in the video?",
            "How many objects are there?",
            "How many shapes can you see?",
            "Count the objects.",
            "What is the number of objects?",
            "How many things are in this clip?",
        )
    )
    return text, _NUMBERS[len(scene.objects)], _NUMBERS[1:]


def _direction(scene: Scene, rng: random.Random) -> _Draft | None:
    movers = [o for o in scene.objects if o.motion == "move"]
    if not movers:
        return None
    shape = rng.choice(movers)
    assert shape.direction is not None
    text = rng.choice(
        (
            "Which direction does the {} move?",
            "In which direction does the {} move?",
            "Where does the {} go?",
            "Which way does the {} move?",
            "In what direction is the {} moving?",
            "Which way is the {} going?",
        )
    )
    return text.format(shape.name), shape.direction, tuple(DIRECTIONS)


def _moves(scene: Scene, rng: random.Random) -> _Draft:
    shape = rng.choice(scene.objects)
    text = rng.choice(
        ("Does the {} move?", "Is the {} moving?", "Does the {} change its place?", "Is the {} in motion?")
    )
    return text.format(shape.name), "yes" if shape.motion == "move" else "no", ()


def _exists(scene: Scene, rng: random.Random) -> _Draft:
    text = rng.choice(
        (
            "Is there a {}?",
            "Do you see a {}?",
            "Can you see a {}?",
            "Does the video show a {}?",
            "Is a {} in the video?",
            "Is there any {}?",
        )
    )
    if rng.random() < 0.5:
        return text.format(rng.choice(scene.objects).name), "yes", ()
    absent = _absent(scene, rng)
    return text.format(absent), "no", ()


def _absent(scene: Scene, rng: random.Random) -> str:
    """An object that is not there; half of the time one that shares a colour or a shape with one that is."""
    there = {(c, o.kind) for o in scene.objects for c in (o.colour, o.colour_end)}
    while True:
        colour, kind = rng.choice(list(COLOURS)), rng.choice(SHAPES)
        if rng.random() < 0.5:
            shape = rng.choice(scene.objects)
            colour, kind = rng.choice(((shape.colour, kind), (colour, shape.kind)))
        if (colour, kind) not in there:
            return f"{colour} {kind}"


def _event(scene: Scene, rng: random.Random) -> _Draft:
    shape = rng.choice(scene.objects)
    text = rng.choice(
        (
            "What happens to the {}?",
            "What does the {} do?",
            "What is the {} doing?",
            "What becomes of the {}?",
            "Describe what the {} does.",
        )
    )
    answer = f"it {shape.deed}"
    return text.format(shape.name), answer, (*_DEEDS, answer)


def _place_at_end(scene: Scene, rng: random.Random) -> _Draft | None:
    shape = rng.choice([*scene.objects])
    x, y = shape.x1 / scene.width, shape.y1 / scene.height
    if shape.motion == "vanish" or min(abs(x - 0.5), abs(y - 0.5)) < _MIDDLE:
        return None
    text = rng.choice(
        (
            "Where is the {} at the end?",
            "Where does the {} end up?",
            "In which corner is the {} at the end?",
            "Where is the {} when the video ends?",
            "In which part of the frame is the {} at the end?",
        )
    )
    corner = ("top" if y < 0.5 else "bottom") + " " + ("left" if x < 0.5 else "right")
    return text.format(shape.name), corner, _CORNERS


def _order(scene: Scene, rng: random.Random) -> _Draft | None:
    comers = sorted((o for o in scene.objects if o.motion == "appear"), key=lambda o: o.appears_at)
    gaps = [b.appears_at - a.appears_at for a, b in pairwise(comers)]
    if not gaps or min(gaps) < _MIN_ORDER_GAP:
        return None
    first = rng.random() < 0.5
    text = rng.choice(
        (
            "Which object appears {}?",
            "Which object shows up {}?",
            "What appears {}?",
            "Which shape appears {}?",
            "Which object comes into view {}?",
        )
    )
    chosen = comers[0 if first else -1]
    return text.format("first" if first else "last"), f"the {chosen.name}", _names(scene)


def _which_moves(scene: Scene, rng: random.Random) -> _Draft | None:
    movers = [o for o in scene.objects if o.motion == "move"]
    if len(movers) != 1:
        return None
    text = rng.choice(
        (
            "Which object moves?",
            "What moves?",
            "Which shape moves?",
            "Which object is moving?",
            "What is moving?",
        )
    )
    return text, f"the {movers[0].name}", _names(scene)


def _names(scene: Scene) -> tuple[str, ...]:
    """Options for questions about which object: a choice needs at least one wrong one."""
    return tuple(f"the {o.name}" for o in scene.objects) if len(scene.objects) > 1 else ()


def _description(scene: Scene, rng: random.Random) -> _Draft | None:
    in_order = sorted(scene.objects, key=lambda o: o.x0)
    if any(b.x0 - a.x0 < 0.08 * scene.width for a, b in pairwise(in_order)):
        return None
    text = rng.choice(
        (
            "Describe the video.",
            "Describe this video.",
            "What happens in the video?",
            "What is shown in the video?",
            "Describe the clip.",
            "What do you see?",
        )
    )
    return text, " ".join(_sentence(o) for o in in_order), ()


def _sentence(shape: Shape) -> str:
    article = "an" if shape.colour[0] in "aeiou" else "a"
    return f"{article} {shape.name} {shape.deed}."


_Writer = Callable[[Scene, random.Random], "_Draft | None"]
# The weight of a type is how often it is tried; what cannot be asked of a scene is drawn again.
_WRITERS: dict[str, tuple[float, _Writer]] = {
    "colour": (1.6, _colour_of),
    "shape": (1.0, _shape_of),
    "count": (0.6, _count),
    "direction": (1.2, _direction),
    "moves": (0.8, _moves),
    "exists": (0.9, _exists),
    "event": (1.7, _event),
    "place": (1.7, _place_at_end),
    "order": (8.0, _order),
    "which": (1.0, _which_moves),
    "describe": (1.0, _description),
}
QUESTION_TYPES = (*_WRITERS, "choice", "offtopic")


def is_right(answer: str, expected: str) -> bool:
    """Exact match; in descriptions "a" and "an" are both accepted."""
    return _articles(answer.strip()) == _articles(expected)


def _articles(text: str) -> str:
    return " ".join("a" if word == "an" else word for word in text.split(" "))
