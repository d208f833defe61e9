"""Questions that no ShapesQA clip answers, so that the built-in model learns to say so."""

from __future__ import annotations

import random

from sharpv_cli.shapes.phrasings import wordings_of

UNKNOWN = "i don't know"

_FILLERS = wordings_of("fillers")
"""The templates, and by their slots the everyday words that fill them."""
THINGS = _FILLERS["thing"]


def offtopic_question(rng: random.Random) -> str:
    """Draw one: mostly a template filled with everyday words, sometimes a jumble of letters or words."""
    luck = rng.random()
    if luck < 0.04:
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(rng.randint(3, 24)))
    if luck < 0.12:
        words = [word for slot in ("thing", "action", "topic", "subject") for word in _FILLERS[slot]]
        return " ".join(rng.choices(words, k=rng.randint(1, 5))) + "?"
    template = rng.choice(_FILLERS["templates"])
    slots = ("thing", "thing2", "action", "place", "topic", "subject")
    filled = {slot: rng.choice(_FILLERS[slot.rstrip("2")]) for slot in slots}
    return template.format(**filled, n=rng.randint(2, 99), n2=rng.randint(2, 99))
