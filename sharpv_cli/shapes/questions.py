"""Questions about a scene, in several phrasings, with the one answer that is right."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from sharpv_cli.shapes.offtopic import UNKNOWN, offtopic_question
from sharpv_cli.shapes.phrasings import WORDINGS, Wordings
from sharpv_cli.shapes.world import COLOURS, DIRECTIONS, SHAPES, Scene, Shape

NUMBERS = ("zero", "one", "two", "three", "four", "five")
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
    """A question, its only right answer (lower case, or an option's letter) and its type.

    With `tolerance_sec` the answer is a time, and right if it is at most so much off.
    """

    type: str
    text: str
    answer: str
    tolerance_sec: float | None = None


Draft = tuple[str, str, tuple[str, ...]]
"""Question, answer, wrong and right options (none: an open question only)."""


def sample_question(
    scene: Scene,
    rng: random.Random,
    *,
    offtopic: float = 0.04,
    wordings: Wordings = WORDINGS,
    writers: Writers | None = None,
) -> Question:
    """Draw a question about `scene` in one of `wordings`; with probability `offtopic`, one that it cannot answer."""
    if rng.random() < offtopic:
        return Question("offtopic", _restyle(offtopic_question(rng), rng), UNKNOWN)
    return posed(*open_question(scene, rng, wordings, writers), rng)


def posed(question: Question, options: tuple[str, ...], rng: random.Random) -> Question:
    """As people pose it: with options, or in the way they type."""
    if options and rng.random() < 0.22:
        return Question("choice", *_as_choice(question.text, question.answer, options, rng))
    return replace(question, text=_restyle(question.text, rng))


def open_question(
    scene: Scene, rng: random.Random, wordings: Wordings, writers: Writers | None = None
) -> tuple[Question, tuple[str, ...]]:
    """Draw a question about `scene` in one of `wordings`, and the options it could be asked with (none: open only)."""
    writers = WRITERS if writers is None else writers
    while True:
        kind = rng.choices(list(writers), [w for w, _ in writers.values()])[0]
        draft = writers[kind][1](scene, rng, wordings)
        if draft is not None:
            text, answer, options = draft
            return Question(kind, text, answer), options


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


def _colour_of(scene: Scene, rng: random.Random, wordings: Wordings) -> Draft | None:
    shape = rng.choice(scene.objects)
    if shape.motion == "turn" or sum(o.kind == shape.kind for o in scene.objects) > 1:
        return None
    text = rng.choice(wordings["colour"])
    return text.format(shape=shape.kind), shape.colour, tuple(COLOURS)


def _shape_of(scene: Scene, rng: random.Random, wordings: Wordings) -> Draft:
    shape = rng.choice(scene.objects)
    text = rng.choice(wordings["shape"])
    return text.format(colour=shape.colour), shape.kind, SHAPES


def _count(scene: Scene, rng: random.Random, wordings: Wordings) -> Draft:
    text = rng.choice(wordings["count"])
    return text, NUMBERS[len(scene.objects)], NUMBERS[1:]


def _direction(scene: Scene, rng: random.Random, wordings: Wordings) -> Draft | None:
    movers = [o for o in scene.objects if o.motion == "move"]
    if not movers:
        return None
    shape = rng.choice(movers)
    assert shape.direction is not None
    text = rng.choice(wordings["direction"])
    return text.format(object=shape.name), shape.direction, tuple(DIRECTIONS)


def _moves(scene: Scene, rng: random.Random, wordings: Wordings) -> Draft:
    shape = rng.choice(scene.objects)
    text = rng.choice(wordings["moves"])
    return text.format(object=shape.name), "yes" if shape.motion == "move" else "no", ()


def _exists(scene: Scene, rng: random.Random, wordings: Wordings) -> Draft:
    text = rng.choice(wordings["exists"])
    if rng.random() < 0.5:
        return text.format(object=rng.choice(scene.objects).name), "yes", ()
    absent = _absent(scene, rng)
    return text.format(object=absent), "no", ()


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


def _event(scene: Scene, rng: random.Random, wordings: Wordings) -> Draft:
    shape = rng.choice(scene.objects)
    text = rng.choice(wordings["event"])
    answer = f"it {shape.deed}"
    return text.format(object=shape.name), answer, (*_DEEDS, answer)


def _place_at_end(scene: Scene, rng: random.Random, wordings: Wordings) -> Draft | None:
    shape = rng.choice([*scene.objects])
    x, y = shape.x1 / scene.width, shape.y1 / scene.height
    if shape.motion == "vanish" or min(abs(x - 0.5), abs(y - 0.5)) < _MIDDLE:
        return None
    text = rng.choice(wordings["place"])
    corner = ("top" if y < 0.5 else "bottom") + " " + ("left" if x < 0.5 else "right")
    return text.format(object=shape.name), corner, _CORNERS


def _order(scene: Scene, rng: random.Random, wordings: Wordings) -> Draft | None:
    comers = sorted((o for o in scene.objects if o.motion == "appear"), key=lambda o: o.appears_at)
    gaps = [b.appears_at - a.appears_at for a, b in pairwise(comers)]
    if not gaps or min(gaps) < _MIN_ORDER_GAP:
        return None
    end = "first" if rng.random() < 0.5 else "last"
    text = rng.choice(wordings[f"order_{end}"])
    chosen = comers[0 if end == "first" else -1]
    return text, f"the {chosen.name}", _names(scene)


def _which_moves(scene: Scene, rng: random.Random, wordings: Wordings) -> Draft | None:
    movers = [o for o in scene.objects if o.motion == "move"]
    if len(movers) != 1:
        return None
    text = rng.choice(wordings["which"])
    return text, f"the {movers[0].name}", _names(scene)


def _names(scene: Scene) -> tuple[str, ...]:
    """Options for questions about which object: a choice needs at least one wrong one."""
    return tuple(f"the {o.name}" for o in scene.objects) if len(scene.objects) > 1 else ()


def _description(scene: Scene, rng: random.Random, wordings: Wordings) -> Draft | None:
    in_order = sorted(scene.objects, key=lambda o: o.x0)
    if any(b.x0 - a.x0 < 0.08 * scene.width for a, b in pairwise(in_order)):
        return None
    text = rng.choice(wordings["describe"])
    return text, " ".join(_sentence(o) for o in in_order), ()


def _sentence(shape: Shape) -> str:
    article = "an" if shape.colour[0] in "aeiou" else "a"
    return f"{article} {shape.name} {shape.deed}."


Writer = Callable[[Scene, random.Random, Wordings], "Draft | None"]
Writers = Mapping[str, tuple[float, Writer]]
"""By type: how often it is tried, and what writes it. What cannot be asked of a scene is drawn again."""

WRITERS: Writers = {
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
_OBJECTS = tuple(f"the {colour} {kind}" for colour in COLOURS for kind in SHAPES)
ANSWERS: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS),
    "shape": SHAPES,
    "count": NUMBERS[1:],
    "direction": tuple(DIRECTIONS),
    "moves": ("yes", "no"),
    "exists": ("yes", "no"),
    "event": (*_DEEDS, *(f"it turns {colour}" for colour in COLOURS)),
    "place": _CORNERS,
    "order": _OBJECTS,
    "which": _OBJECTS,
}


def candidates(question: Question, answers: Mapping[str, tuple[str, ...]] = ANSWERS) -> tuple[str, ...]:
    """All answers that a question of its type can have, whatever the clip; none where there is no end to them.

    `answers` are those of the questions' world, by type.
    """
    if question.type == "choice":
        return tuple(letter for letter in "ABCD" if f"({letter}) " in question.text)
    return answers.get(question.type, ())


QUESTION_TYPES = (*WRITERS, "choice", "offtopic")


def is_right(answer: str, expected: str) -> bool:
    """Exact match; in descriptions "a" and "an" are both accepted."""
    return _articles(answer.strip()) == _articles(expected)


def _articles(text: str) -> str:
    return " ".join("a" if word == "an" else word for word in text.split(" "))
