"""ShapesQA-Long: clips of 20 to 180 seconds in which three to twelve things happen, one after the other."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from sharpv_cli.shapes.films import Film
from sharpv_cli.shapes.hard import tint_for
from sharpv_cli.shapes.long_world import Actor, Happening, Kind, LongWorld
from sharpv_cli.shapes.world import COLOURS, SHAPES, jittered
from sharpv_cli.video.encoding import Codec, Quality

SHORTEST_SEC, LONGEST_SEC = 20.0, 180.0
FEWEST, MOST = 3, 12  # events
FLASH_SEC = (0.4, 0.9)

_WEIGHTS: dict[Kind, float] = {
    "appear": 3,
    "pair": 1.5,
    "leave": 2,
    "turn": 2,
    "cross": 1.5,
    "hit": 1.5,
    "flash": 1,
}
_NEW: dict[Kind, int] = {"appear": 1, "pair": 2, "cross": 1, "flash": 1}  # objects that come
_MOST_AT_ONCE = 5
_EVENT_SEC = 4.5  # an event has at least so much of the clip for itself
_CROSS_SEC, _HIT_SEC = 3.0, 2.4
_RADII = (0.08, 0.12)
_GAP = 0.03
_ALWAYS = 10**6


def sample_world(
    rng: random.Random, shortest: float = SHORTEST_SEC, longest: float = LONGEST_SEC
) -> LongWorld:
    """Draw one that lasts so long."""
    while True:
        stage = _Stage(rng, shortest, longest)
        if (world := stage.played()) is not None:
            return world


def sample_film(rng: random.Random) -> Film:
    """Draw a clip of the benchmark: small pictures, of rates that vary within a third of the clips."""
    world = sample_world(rng)
    shorter = rng.uniform(96, 192 / max(world.width, world.height) ** 0.5)
    codec: Codec = rng.choices(("h264", "vp9", "mpeg4"), (0.6, 0.2, 0.2))[0]
    quality: Quality = rng.choice(("high", "medium"))
    fps = rng.randint(6, 15)
    counts = range(round(fps * world.duration_sec))
    varies = codec != "mpeg4" and rng.random() < 1 / 3
    kept = tuple(count for count in counts if count == 0 or not varies or rng.random() < 0.7)
    return Film(
        world=world,
        width=2 * round(shorter * world.width / 2),
        height=2 * round(shorter * world.height / 2),
        fps=fps,
        duration_sec=world.duration_sec,
        codec=codec,
        quality=quality,
        suffix={"h264": ".mp4", "vp9": ".webm", "mpeg4": ".avi"}[codec],
        ground_seed=rng.getrandbits(32),
        tint=tint_for(rng, [rgb for actor in world.actors for rgb in (actor.rgb, actor.rgb_end)]),
        texture=rng.uniform(0.0, 0.2),
        counts=kept,
    )


@dataclass
class _Cast:
    """An actor while its part is written."""

    kind: str
    colour: str
    rgb: tuple[int, int, int]
    radius: float
    x: float
    y: float
    born: float
    gone: float = _ALWAYS
    turns: float = _ALWAYS
    colour_end: str | None = None
    rgb_end: tuple[int, int, int] | None = None
    moves: list[tuple[float, float, float]] = field(default_factory=list)

    def actor(self) -> Actor:
        return Actor(
            self.kind, self.colour, self.colour_end or self.colour, self.rgb, self.rgb_end or self.rgb, self.radius,
            self.born, self.gone, self.turns, tuple(self.moves or [(0.0, self.x, self.y)]),
        )  # fmt: skip


class _Stage:
    """What a clip is put together on: who is there, which names are free, and what has happened."""

    def __init__(self, rng: random.Random, shortest: float, longest: float) -> None:
        self.rng = rng
        aspect = rng.choice((16 / 9, 4 / 3, 1.0, 3 / 4, 9 / 16))
        self.width, self.height = max(aspect, 1.0), max(1 / aspect, 1.0)
        self.duration = rng.uniform(shortest, longest)
        names = [(colour, kind) for colour in COLOURS for kind in SHAPES]
        self.names = rng.sample(names, len(names))
        self.cast: list[_Cast] = []
        self.events: list[Happening] = []

    def played(self) -> LongWorld | None:
        """The whole clip; None where somebody found no room."""
        rng = self.rng
        most = min(MOST, int(self.duration / _EVENT_SEC))
        count = rng.randint(min(FEWEST, most), most)
        for _ in range(rng.randint(1, 3)):
            self._come(0.0)
        for number in range(count):
            # Each event has its own stretch of the clip, and is over before the next one's.
            stretch = self.duration / count
            start = (number + rng.uniform(0.05, 1 - 1.1 * _CROSS_SEC / stretch)) * stretch
            if not self._happens(self._choice(), round(start, 2)):
                return None
        actors = tuple(cast.actor() for cast in self.cast)
        return LongWorld(self.width, self.height, self.duration, actors, tuple(self.events))

    def _standing(self) -> list[_Cast]:
        return [cast for cast in self.cast if cast.gone == _ALWAYS]

    def _choice(self) -> Kind:
        """Something that those who are there can do."""
        standing = self._standing()
        unturned = [cast for cast in standing if cast.colour_end is None]
        possible = {
            kind: weight
            for kind, weight in _WEIGHTS.items()
            if len(standing) + _NEW.get(kind, 0) <= _MOST_AT_ONCE
            and (kind != "leave" or standing)
            and (kind != "turn" or unturned)
            and (kind != "hit" or len(standing) >= 2)
        }
        return self.rng.choices(list(possible), list(possible.values()))[0]

    def _happens(self, kind: Kind, start: float) -> bool:
        return {
            "appear": self._appear, "pair": self._pair, "leave": self._leave, "turn": self._turn,
            "cross": self._cross, "hit": self._hit, "flash": self._flash,
        }[kind](start)  # fmt: skip

    def _told(self, kind: Kind, start: float, end: float, who: str, verb: str) -> bool:
        self.events.append(Happening(kind, start, end, f"{who} {verb}", verb, who))
        return True

    def _appear(self, start: float) -> bool:
        cast = self._come(start)
        return cast is not None and self._told("appear", start, start, _the(cast, start), "appears")

    def _pair(self, start: float) -> bool:
        one, other = self._come(start), self._come(start)
        if one is None or other is None:
            return False
        return self._told("pair", start, start, f"{_the(one, start)} and {_the(other, start)}", "appear")

    def _leave(self, start: float) -> bool:
        cast = self.rng.choice(self._standing())
        cast.gone = start
        return self._told("leave", start, start, _the(cast, start), "disappears")

    def _turn(self, start: float) -> bool:
        cast = self.rng.choice([cast for cast in self._standing() if cast.colour_end is None])
        free = [name for name in self.names if name[1] == cast.kind]
        if not free:
            return False
        self.names.remove(free[0])
        who = _the(cast, start)
        cast.turns, cast.colour_end = start, free[0][0]
        cast.rgb_end = jittered(self.rng, COLOURS[cast.colour_end])
        return self._told("turn", start, start, who, f"turns {cast.colour_end}")

    def _cross(self, start: float) -> bool:
        """From one side to the other, in front of whoever stands there."""
        cast, end = self._new(start, 0.0, 0.0), start + _CROSS_SEC
        across, back = self.rng.random() < 0.5, self.rng.random() < 0.5
        far = self.width if across else self.height
        beside = self.rng.uniform(cast.radius, (self.height if across else self.width) - cast.radius)
        ends = [(-cast.radius, beside), (far + cast.radius, beside)]
        if back:
            ends.reverse()
        (x0, y0), (x1, y1) = ends if across else [(y, x) for x, y in ends]
        cast.moves, cast.gone = [(start, x0, y0), (end, x1, y1)], end
        way = ("left" if back else "right") if across else ("up" if back else "down")
        return self._told(
            "cross", start, end, _the(cast, start), f"crosses to the {way}" if across else f"crosses {way}"
        )

    def _hit(self, start: float) -> bool:
        """One goes to the other until they touch, and back again."""
        one, other = self.rng.sample(self._standing(), 2)
        far = math.hypot(other.x - one.x, other.y - one.y)
        share = (far - one.radius - other.radius) / far
        x, y = one.x + share * (other.x - one.x), one.y + share * (other.y - one.y)
        end = start + _HIT_SEC
        one.moves = one.moves or [(0.0, one.x, one.y)]
        one.moves += [(start, one.x, one.y), (start + _HIT_SEC / 2, x, y), (end, one.x, one.y)]
        return self._told("hit", start, end, _the(one, start), f"hits {_the(other, start)}")

    def _flash(self, start: float) -> bool:
        cast = self._come(start)
        if cast is None:
            return False
        cast.gone = round(start + self.rng.uniform(*FLASH_SEC), 2)
        return self._told("flash", start, cast.gone, _the(cast, start), "flashes")

    def _come(self, time: float) -> _Cast | None:
        """Somebody new, where nobody ever stood who is still there; None where there is no room."""
        for _ in range(60):
            radius = self.rng.uniform(*_RADII)
            edge = radius + 0.02
            x, y = self.rng.uniform(edge, self.width - edge), self.rng.uniform(edge, self.height - edge)
            if all(math.hypot(x - c.x, y - c.y) > radius + c.radius + _GAP for c in self._standing()):
                return self._new(time, x, y, radius)
        return None

    def _new(self, time: float, x: float, y: float, radius: float | None = None) -> _Cast:
        colour, kind = self.names.pop()
        radius = self.rng.uniform(*_RADII) if radius is None else radius
        self.cast.append(_Cast(kind, colour, jittered(self.rng, COLOURS[colour]), radius, x, y, time))
        return self.cast[-1]


def _the(cast: _Cast, time: float) -> str:
    colour = cast.colour_end if cast.colour_end is not None and time >= cast.turns else cast.colour
    return f"the {colour} {cast.kind}"
