"""What happens in a clip of ShapesQA-Long, and what can be seen of it at any time.

An object's colour and shape name it: no two ever have the same ones, also not before or after a change of colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Literal

import torch

from sharpv_cli.shapes.painting import Tensor
from sharpv_cli.shapes.world import SHAPES

Kind = Literal["appear", "pair", "leave", "turn", "cross", "hit", "flash"]
_PASSING: tuple[Kind, ...] = ("cross", "hit", "flash")  # nothing is different afterwards


@dataclass(frozen=True, slots=True)
class Actor:
    """One object: there from `born` to `gone`, of another colour from `turns` on.

    `path` is times and places (time, x, y), straight between them.
    """

    kind: str
    colour: str
    colour_end: str
    rgb: tuple[int, int, int]
    rgb_end: tuple[int, int, int]
    radius: float
    born: float
    gone: float
    turns: float
    path: tuple[tuple[float, float, float], ...]

    @property
    def name(self) -> str:
        return f"{self.colour} {self.kind}"


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happens from `start` to `end`; `clause` says it in the words of the answers."""

    kind: Kind
    start: float
    end: float
    clause: str
    verb: str
    who: str


@dataclass(frozen=True)
class LongWorld:
    """All objects of a clip, and what happens in it, in order."""

    width: float
    height: float
    duration_sec: float
    actors: tuple[Actor, ...]
    events: tuple[Happening, ...]
    signs: tuple[()] = ()

    @cached_property
    def kinds(self) -> Sequence[int]:
        return [SHAPES.index(actor.kind) for actor in self.actors]

    def states(self, times: Sequence[float]) -> Tensor:
        return torch.tensor([[_state(actor, time) for actor in self.actors] for time in times])

    def camera(self, times: Sequence[float]) -> Tensor:
        return torch.zeros(len(times), 2)

    def drift(self, times: Sequence[float]) -> Tensor:
        return torch.zeros(len(times), 2)

    def shown_at(self, times: Sequence[float]) -> LongWorld:
        """The same clip as these moments show it: what came and went between two of them did not happen."""
        seen = (
            event
            for event in self.events
            if event.kind not in _PASSING or any(event.start <= time < event.end for time in times)
        )
        return replace(self, events=tuple(seen))

    def there(self, time: float) -> list[Actor]:
        """What can be seen then."""
        return [actor for actor in self.actors if actor.born <= time < actor.gone]


def changes(world: LongWorld) -> Iterator[float]:
    """When the number of objects may change."""
    for actor in world.actors:
        yield from (actor.born, actor.gone)


def _state(actor: Actor, time: float) -> list[float]:
    red, green, blue = actor.rgb_end if time >= actor.turns else actor.rgb
    x, y = _where(actor.path, time)
    seen = actor.born <= time < actor.gone
    return [
        SHAPES.index(actor.kind), red / 255, green / 255, blue / 255, x, y, actor.radius, 0.5, float(seen),
    ]  # fmt: skip


def _where(path: Sequence[tuple[float, float, float]], time: float) -> tuple[float, float]:
    for (t0, x0, y0), (t1, x1, y1) in pairwise(path):
        if t0 <= time < t1:
            share = (time - t0) / (t1 - t0)
            return x0 + (x1 - x0) * share, y0 + (y1 - y0) * share
    return path[0][1:] if time < path[0][0] else path[-1][1:]
