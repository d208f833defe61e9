"""More ways to ask than the benchmark has: some that training draws, and held-out ones that it never does.

The held-out ones, in-world questions and questions from outside, were written by hand before looking at the training
templates; what came out the same by chance was replaced. The other way round, whoever wrote the wordings for training
had not seen the held-out ones.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from functools import cache
from importlib.resources import files

from sharpv_cli.shapes.offtopic import THINGS, UNKNOWN
from sharpv_cli.shapes.questions import WORDINGS, Question, Wordings, open_question
from sharpv_cli.shapes.world import COLOURS, Scene

_WITH_SLOTS = ("colour", "shape", "direction", "moves", "exists", "event", "place")
_FOREIGN_COLOURS = (
    "pink",
    "brown",
    "black",
    "grey",
    "golden",
    "silver",
    "beige",
    "maroon",
    "transparent",
    "striped",
)

# The slot of "a {object}" may take "orange circle", the only name of the world that begins with a vowel.
_A_BEFORE_VOWEL = re.compile(r"\ba (?=[aeiou])", re.IGNORECASE)
_LONG_WORD = re.compile(r"\b[a-z]{6,}\b")


def sample_reworded(scene: Scene, rng: random.Random) -> Question:
    """Draw an open question about `scene` in a held-out wording: of any type but `choice` and `offtopic`."""
    question, _ = open_question(scene, rng, reworded())
    return replace(question, text=with_articles(question.text))


def with_articles(text: str) -> str:
    """`a orange circle` as people write it."""
    return _A_BEFORE_VOWEL.sub("an ", text)


def as_typed(text: str, rng: random.Random) -> str:
    """`text` as people type it: often right, sometimes in lower case, without its last sign or with a slip."""
    if rng.random() < 0.15:
        text = text.lower()
    if rng.random() < 0.15:
        text = text.rstrip(".?!")
    words = list(_LONG_WORD.finditer(text))
    if words and rng.random() < 0.1:
        word = rng.choice(words)
        # Two neighbours swapped, not the first letter: what is left can still be read.
        slip = rng.randrange(word.start() + 1, word.end() - 1)
        text = f"{text[:slip]}{text[slip + 1]}{text[slip]}{text[slip + 2 :]}"
    return text


@cache
def reworded() -> Wordings:
    """The held-out wordings, under the keys and with the slots of `questions.WORDINGS`."""
    wordings: Wordings = json.loads(_asset("reworded.json"))
    return wordings


@cache
def training() -> Wordings:
    """Wordings that training draws beside `questions.WORDINGS`, with the same keys and slots."""
    wordings: Wordings = json.loads(_asset("training.json"))
    return wordings


def unanswerable(rng: random.Random) -> Question:
    """Draw what training other words needs beside them, or all words sound like this world: a question off topic, or
    one in an in-world wording about something that this world does not have."""
    if rng.random() < 0.5:
        return Question("offtopic", rng.choice(_training_offtopic()), UNKNOWN)
    source = rng.choice((WORDINGS, training()))
    text = rng.choice(source[rng.choice(_WITH_SLOTS)])
    thing = rng.choice(THINGS)
    named = thing if rng.random() < 0.5 else f"{rng.choice((*COLOURS, *_FOREIGN_COLOURS))} {thing}"
    filled = text.format(object=named, shape=thing, colour=rng.choice(_FOREIGN_COLOURS))
    return Question("offtopic", with_articles(filled), UNKNOWN)


@cache
def _training_offtopic() -> tuple[str, ...]:
    return tuple(json.loads(_asset("training_offtopic.json")))


@cache
def held_out_offtopic() -> tuple[str, ...]:
    """200 questions that no clip answers; the right answer is `UNKNOWN`."""
    return tuple(json.loads(_asset("offtopic.json")))


def _asset(name: str) -> str:
    return (files("sharpv_cli") / "assets" / "shapesqa" / name).read_text(encoding="utf-8")
