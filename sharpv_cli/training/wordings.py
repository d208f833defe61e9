"""Other ways to ask that training draws beside those of the benchmark."""

from __future__ import annotations

import json
import random
import re
from functools import cache

from sharpv_cli.shapes.offtopic import THINGS, UNKNOWN
from sharpv_cli.shapes.phrasings import WORDINGS, Wordings, asset, wordings_of
from sharpv_cli.shapes.questions import Question
from sharpv_cli.shapes.wordings import with_articles
from sharpv_cli.shapes.world import COLOURS

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

_LONG_WORD = re.compile(r"\b[a-z]{6,}\b")


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
def training() -> Wordings:
    """Wordings that training draws beside `questions.WORDINGS`, with the same keys and slots."""
    return wordings_of("training")


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
    return tuple(json.loads(asset("training_offtopic.json")))
