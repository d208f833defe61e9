"""Clips that come at random, encoded together and each one alone.

`python tests/helpers/vision_schedules.py 200` tries 200, `... 200 cuda` on a GPU, with the root on PYTHONPATH.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import schedules
from cuda_models import on_cuda
from events import answer_about
from tiny_families import RECIPES, clip, folder, loaded

from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.conveyor import Conveyor, answer_of
from sharpv_cli.session import Session
from sharpv_cli.settings import Settings
from sharpv_cli.types import Answer, Waiting
from sharpv_cli.video.frames import Frames

SHAPES = ((60, 90), (90, 60), (64, 64))
EVERYTHING = 1 << 40  # pixels


@dataclass(frozen=True)
class Asked:
    """About a clip of so many frames of a shape, for an answer of so many tokens."""

    family: str
    frames: int
    shape: int = 0
    new: int = 3

    def clip(self, session: Session) -> Clip:
        height, width = SHAPES[self.shape]
        times = tuple(number / 2 for number in range(self.frames))
        settings = Settings.model_validate({"generation": {"max_new_tokens": self.new}})
        return Clip(session, Frames(*clip(times, height, width)), settings)


def session(family: str) -> Session:
    """Where `schedules.device` says."""
    model = on_cuda(folder(family), "float32") if schedules.device == "cuda" else loaded(family)
    return Session(model, schedules.fast(family))


def together(family: str, full: int = EVERYTHING, most: int = 8) -> Session:
    """For several answers, and clips of so many pixels in a run."""
    several = session(family).together(most)
    assert several.several is not None
    several.several.vision.full = full
    return several


@dataclass
class Coming:
    """Work on a conveyor, in the order of what is asked; where one of `pauses` says so, there is none for once."""

    session: Session
    asked: Sequence[Asked]
    pauses: list[bool] = field(default_factory=list)
    begun: int = 0

    def begin(self, wait: bool) -> Generator[tuple[int, Answer] | Waiting] | None:
        if self.begun == len(self.asked) or (self.pauses and self.pauses.pop() and not wait):
            return None
        self.begun += 1
        return self._answered(self.begun - 1)

    def _answered(self, number: int) -> Generator[tuple[int, Answer] | Waiting]:
        asked = self.asked[number]
        answer = yield from answer_of(answer_about(asked.clip(self.session), f"Are these {asked.frames}?"))
        yield number, answer


def answers(session: Session, asked: Sequence[Asked], pauses: Sequence[bool] = ()) -> list[Answer]:
    conveyor: Conveyor[tuple[int, Answer]] = Conveyor(session.several)
    told = dict(conveyor.told(Coming(session, asked, list(pauses)).begin))
    return [told[number] for number in range(len(asked))]


def alone(asked: Asked) -> Answer:
    return _alone(asked, schedules.device)


@cache
def _alone(asked: Asked, _device: str) -> Answer:
    return answers(session(asked.family), [asked])[0]


def alike(got: Answer, want: Answer) -> bool:
    """Whether the same was seen, kept, and said."""
    return (
        got.token_ids == want.token_ids
        and got.text == want.text
        and np.array_equal(got.keep, want.keep)
        and got.memory.kv_bytes == want.memory.kv_bytes
    )


def differences(seed: int) -> str | None:
    """What a random schedule brings to light, if anything."""
    draw = random.Random(seed)
    family = draw.choice(list(RECIPES))
    asked = [
        Asked(family, draw.randint(1, 5), draw.randrange(3), draw.randint(1, 6))
        for _ in range(draw.randint(2, 8))
    ]
    full = draw.choice([EVERYTHING, EVERYTHING, 150_000, 60_000, 0])
    company = together(family, full, draw.randint(1, 6))
    pauses = [draw.random() < 0.3 for _ in range(draw.randint(0, 20))]
    for one, got in zip(asked, answers(company, asked, pauses), strict=True):
        if not alike(got, alone(one)):
            return f"{seed}: {one}: {got.token_ids} and alone {alone(one).token_ids}"
    return None


if __name__ == "__main__":
    schedules.device = sys.argv[2] if len(sys.argv) > 2 else "cpu"
    found = [what for seed in range(int(sys.argv[1])) if (what := differences(seed))]
    print("\n".join(found) or "all alike")
    sys.exit(bool(found))
