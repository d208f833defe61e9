"""Held-out ways to ask: more than the benchmark has, and never drawn in training (`sharpv_cli.training.wordings`).

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

from sharpv_cli.shapes.phrasings import Wordings, asset, wordings_of
from sharpv_cli.shapes.questions import Question, open_question
from sharpv_cli.shapes.world import Scene

# The slot of "a {object}" may take "orange circle", the only name of the world that begins with a vowel.
_A_BEFORE_VOWEL = re.compile(r"\ba (?=[aeiou])", re.IGNORECASE)


def sample_reworded(scene: Scene, rng: random.Random) -> Question:
    """Draw an open question about `scene` in a held-out wording: of any type but `choice` and `offtopic`."""
    question, _ = open_question(scene, rng, reworded())
    return replace(question, text=with_articles(question.text))


def with_articles(text: str) -> str:
    """`a orange circle` as people write it."""
    return _A_BEFORE_VOWEL.sub("an ", text)


@cache
def reworded() -> Wordings:
    """The held-out wordings, under the keys and with the slots of `questions.WORDINGS`."""
    return wordings_of("reworded")


@cache
def held_out_offtopic() -> tuple[str, ...]:
    """200 questions that no clip answers; the right answer is `UNKNOWN`."""
    return tuple(json.loads(asset("offtopic.json")))
