"""One clip measured with several methods side by side: the same frames, the same model, interleaved runs."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from sharpv_cli.pipeline.asking import VideoPath, decode_video, load_model, timed
from sharpv_cli.pipeline.methods import METHODS, settings_of
from sharpv_cli.types import (
    Answer,
    ClipProfile,
    DeviceRates,
    Finished,
    FrameSample,
    MethodName,
    MethodProfile,
    ProfileEvent,
    RunKind,
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
    video: VideoPath,
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
    named = [_Lane(method, _seeded(settings_of(method, settings), seed)) for method in methods]
    swept = [_Lane("both", _seeded(point.settings, seed), point) for point in sweep]
    session = _Session(video, question, settings, named, swept, warmup, runs, new_tokens)
    try:
        yield from session.events()
    except KeyboardInterrupt:
        if named[0].measured is None:
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

    def add(self, timing: Timings) -> None:
        assert self.measured is not None, "the first run gives the answer"
        self.measured = replace(self.measured, runs=(*self.measured.runs, timing))


@dataclass
class _Session:
    """The state of one profile while it comes to be."""

    video: VideoPath
    question: str
    settings: Settings
    named: list[_Lane]
    swept: list[_Lane]
    warmup: int
    runs: int
    new_tokens: int
    rates: DeviceRates | None = None
    started: int = 0

    def events(self) -> Iterator[ProfileEvent]:
        yield StageStarted("decode")
        import_module("sharpv_cli.video.decoding")  # not within the time of the first clip
        clips = {
            sampling: timed(partial(decode_video, self.video, sampling)) for sampling in self._samplings()
        }
        yield StageStarted("load")
        loaded, load_sec = timed(lambda: load_model(self.settings))
        from sharpv_cli.pipeline.costs import cost_of
        from sharpv_cli.pipeline.rates import best_rates, measure_rates

        bench = _Bench(loaded, load_sec, clips, self.question)
        for lane in self._lanes:
            yield self._start(lane, "answer")
            answer = bench.answer(lane)
            lane.measured = MethodProfile(lane.method, answer, (), cost_of(loaded.model, answer))
            yield self.result()
        # After the answers, because on the CPU its buffers would count in their peak resident size.
        self.rates = measure_rates(loaded.device, loaded.model.dtype)
        for number in range(self.warmup + self.runs):
            yield from self._round(bench, kept=number >= self.warmup)
        self.rates = best_rates(self.rates, measure_rates(loaded.device, loaded.model.dtype))
        yield self.result()

    def _round(self, bench: _Bench, *, kept: bool) -> Iterator[ProfileEvent]:
        for lane in self._lanes:
            yield self._start(lane, "timed" if kept else "warm-up")
            timing = bench.answer(lane, self.new_tokens).timing
            if kept:
                lane.add(timing)
                yield self.result()

    def _start(self, lane: _Lane, kind: RunKind) -> RunStarted:
        self.started += 1
        total = len(self._lanes) * (1 + self.warmup + self.runs)
        return RunStarted(lane.label, kind, self.started, total)

    @property
    def _lanes(self) -> list[_Lane]:
        return [*self.named, *self.swept]

    def _samplings(self) -> Iterable[SamplingSettings]:
        """Each once, in order: only a sweep over frames has several."""
        return dict.fromkeys(lane.settings.sampling for lane in self._lanes)

    def result(self, *, interrupted: bool = False) -> ClipProfile:
        points = [(lane.swept, lane.measured) for lane in self.swept]
        return ClipProfile(
            question=self.question,
            new_tokens=self.new_tokens,
            warmup=self.warmup,
            methods=tuple(lane.measured for lane in self.named if lane.measured),
            sweep=tuple(SweepPoint(at.key, at.value, done) for at, done in points if at and done),
            rates=self.rates,
            m=self.settings.memory.m if self.settings.memory.enabled else None,
            interrupted=interrupted,
        )


@dataclass(frozen=True)
class _Bench:
    """The loaded model and the decoded clips, by how they were sampled, with the seconds of both."""

    loaded: LoadedModel
    load_sec: float
    clips: Mapping[SamplingSettings, tuple[tuple[VideoInfo, FrameSample], float]]
    question: str

    def answer(self, lane: _Lane, new_tokens: int | None = None) -> Answer:
        """One run. Raises KeyboardInterrupt also where the answer would only be cut short by it."""
        from sharpv_cli.pipeline.answering import answer

        (info, sample), decode_sec = self.clips[lane.settings.sampling]
        events = answer(
            self.loaded,
            info,
            sample,
            self.question,
            lane.settings,
            load_sec=self.load_sec,
            decode_sec=decode_sec,
            new_tokens=new_tokens,
        )
        result = next(event.answer for event in events if isinstance(event, Finished))
        if result.finish_reason == "interrupted":
            raise KeyboardInterrupt
        return result


def _seeded(settings: Settings, seed: int) -> Settings:
    """Every run samples with the same seed, so that methods differ by what they are; greedy runs have none."""
    generation = settings.generation
    if generation.temperature == 0 or generation.seed is not None:
        return settings
    return settings.model_copy(update={"generation": generation.model_copy(update={"seed": seed})})
