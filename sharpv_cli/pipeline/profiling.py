"""One clip measured with several methods side by side: the same frames, the same model, interleaved runs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from sharpv_cli.pipeline.asking import Path, decode_video, load_model, timed
from sharpv_cli.pipeline.methods import METHODS, settings_of
from sharpv_cli.types import (
    Answer,
    ClipProfile,
    Finished,
    FrameSample,
    MethodName,
    MethodProfile,
    ProfileEvent,
    RunStarted,
    StageStarted,
    SweepPoint,
    Timings,
    VideoInfo,
)

if TYPE_CHECKING:
    from sharpv_cli.models.loading import LoadedModel
    from sharpv_cli.settings import SamplingSettings, Settings

DEFAULT_NEW_TOKENS = 32


@dataclass(frozen=True, slots=True)
class SweptSettings:
    """One value of a sweep: `settings` are the ones given, with `key` at `value`."""

    key: str
    value: float
    settings: Settings


def profile(
    video: Path,
    question: str,
    settings: Settings,
    *,
    methods: Sequence[MethodName] = tuple(METHODS),
    warmup: int = 1,
    runs: int = 5,
    new_tokens: int = DEFAULT_NEW_TOKENS,
    sweep: Sequence[SweptSettings] = (),
) -> Iterator[ProfileEvent]:
    """Measure `methods`, then the values of `sweep`, on one clip; after each run comes a ClipProfile of all so far.

    Each answers once as `ask` does. Then come `warmup` rounds, which are not kept, and `runs` rounds, which are,
    each of all methods and values in turn, so that a drift of the machine meets all alike. These runs have
    exactly `new_tokens` new tokens (end tokens are ignored) and begin with the decoded frames, so preprocessing
    and vision are measured in each; decoding and loading are measured once, one after the other.

    KeyboardInterrupt, also one thrown in between two events, ends in a last ClipProfile that says `interrupted`;
    before the first answer there is none, and it is raised on. Raises VideoError, ModelError, ResourceError,
    UsageError.
    """
    assert methods and len(set(methods)) == len(methods), methods
    assert warmup >= 0 and runs >= 0 and new_tokens >= 1, (warmup, runs, new_tokens)
    seed = secrets.randbelow(2**32)
    lanes = [_Lane(method, _seeded(settings_of(method, settings), seed)) for method in methods]
    points = [_Lane("both", _seeded(point.settings, seed), point) for point in sweep]
    session = _Session(video, question, settings, lanes, points, warmup, runs, new_tokens)
    try:
        yield from session.events()
    except KeyboardInterrupt:
        if not lanes[0].measured:
            raise
        yield session.result(interrupted=True)


@dataclass
class _Lane:
    """A method, or one value of a sweep, and what was measured of it."""

    method: MethodName
    settings: Settings
    swept: SweptSettings | None = None
    measured: MethodProfile | None = None

    @property
    def label(self) -> str:
        return self.method if self.swept is None else f"{self.swept.key}={self.swept.value:g}"


@dataclass
class _Session:
    """The state of one profile while it comes to be."""

    video: Path
    question: str
    settings: Settings
    methods: list[_Lane]
    points: list[_Lane]
    warmup: int
    runs: int
    new_tokens: int
    number: int = 0
    rates: DeviceRates | None = None
