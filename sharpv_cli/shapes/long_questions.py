"""Questions about ShapesQA-Long: order, what comes next, when, how many at a time, and what was there for a moment."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

from sharpv_cli.shapes.hard_questions import NUMBERS
from sharpv_cli.shapes.long_world import Happening, LongWorld, changes
from sharpv_cli.shapes.phrasings import wordings_of
from sharpv_cli.shapes.questions import Question, posed

TOLERANCE = (1.0, 0.05)
"""A time is right if it is off by a second, or by this share of the clip where that is more."""
_DESCRIBED = 5  # events of a description at most: an answer has an end
# Seconds, or share of the clip, between a moment that is asked about and the next change.
_CLEAR = (1.0, 0.02)

_WORDINGS = wordings_of("long")

_Written = tuple[str, str, tuple[str, ...]]


def sample_long_question(world: LongWorld, rng: random.Random) -> Question:
    """Draw a question about `world`."""
    while True:
        kind = rng.choices(list(_WRITERS), [weight for weight, _ in _WRITERS.values()])[0]
        drafted = _WRITERS[kind][1](world, rng)
        if drafted is None:
            continue
        text, answer, options = drafted
        within = max(TOLERANCE[0], TOLERANCE[1] * world.duration_sec) if kind == "when" else None
        question = posed(Question(kind, text, answer, within), options, rng)
        return Question(question.type, _with_length(question.text, world), question.answer, within)


def retold(world: LongWorld, rng: random.Random) -> Question:
    """All that happens, however much and however short: longer than what the benchmark asks for, for training."""
    return Question("retell", _with_length(rng.choice(_WORDINGS["tell"]), world), _story(world))


def _with_length(text: str, world: LongWorld) -> str:
    """Models that see frames and no times are told how long the clip is, as is usual."""
    return f"The clip lasts {world.duration_sec:.0f} s. {text}"


def _order(world: LongWorld, rng: random.Random) -> _Written | None:
    if len(told := _lasting(world)) < 2:
        return None
    one, other = sorted(rng.sample(range(len(told)), 2))
    first, last = told[one].clause, told[other].clause
    a, b = rng.sample((first, last), 2)
    early = rng.random() < 0.5
    return rng.choice(_WORDINGS["first" if early else "later"]).format(a=a, b=b), first if early else last, ()


def _next(world: LongWorld, rng: random.Random) -> _Written | None:
    """Of two that follow each other, neither of them over in an instant."""
    pairs = [(a, b) for a, b in pairwise(world.events) if "flash" not in (a.kind, b.kind)]
    if not pairs:
        return None
    one, other = rng.choice(pairs)
    options = tuple(event.clause for event in _lasting(world))
    if rng.random() < 0.7:
        return rng.choice(_WORDINGS["after"]).format(a=one.clause), other.clause, options
    return rng.choice(_WORDINGS["before"]).format(a=other.clause), one.clause, options


def _when(world: LongWorld, rng: random.Random) -> _Written | None:
    if not (told := _lasting(world)):
        return None
    event = rng.choice(told)
    return rng.choice(_WORDINGS["when"]).format(a=event.clause), f"{(event.start + event.end) / 2:.0f} s", ()


def _count(world: LongWorld, rng: random.Random) -> _Written | None:
    """At a moment that is clear of every change, or all that appeared."""
    if rng.random() < 0.3:
        came = sum({"appear": 1, "pair": 2}.get(event.kind, 0) for event in world.events)
        return (rng.choice(_WORDINGS["comes"]), NUMBERS[came], ()) if came < len(NUMBERS) else None
    clear = max(_CLEAR[0], _CLEAR[1] * world.duration_sec)
    for _ in range(20):
        time = rng.randint(1, int(world.duration_sec) - 1)
        if all(abs(time - change) > clear for change in changes(world)):
            return (
                rng.choice(_WORDINGS["count"]).format(t=time),
                NUMBERS[len(world.there(time))],
                tuple(NUMBERS[:7]),
            )
    return None


def _needle(world: LongWorld, rng: random.Random) -> _Written | None:
    flashes = [event for event in world.events if event.kind == "flash"]
    return (rng.choice(_WORDINGS["flash"]), flashes[0].who, ()) if len(flashes) == 1 else None


def _describe(world: LongWorld, rng: random.Random) -> _Written | None:
    if len(world.events) > _DESCRIBED or len(_lasting(world)) < len(world.events):
        return None
    return rng.choice(_WORDINGS["tell"]), _story(world), ()


def _story(world: LongWorld) -> str:
    return " ".join(f"{event.clause}." for event in world.events)


def _lasting(world: LongWorld) -> list[Happening]:
    """What happens and is not over in an instant."""
    return [event for event in world.events if event.kind != "flash"]


_WRITERS: dict[str, tuple[float, Callable[[LongWorld, random.Random], _Written | None]]] = {
    "first": (1.2, _order),
    "next": (1.2, _next),
    "when": (1.2, _when),
    "count": (1.2, _count),
    "needle": (2.4, _needle),
    "describe": (3.0, _describe),
}
