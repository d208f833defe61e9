"""One clip measured with several methods side by side: the same frames, the same model, interleaved runs."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from sharpv_cli.errors import SharpvError
from sharpv_cli.pipeline.compared import METHODS, engine_settings, settings_of
from sharpv_cli.pipeline.frames import decode, decode_whole, timed
from sharpv_cli.pipeline.lanes import EngineLane, Lane, MethodLane, SweepLane, SweptSettings
from sharpv_cli.pipeline.opening import VideoPath
from sharpv_cli.session import open_session
from sharpv_cli.types import (
    ClipProfile,
    DeviceRates,
    EngineName,
    Failure,
    MethodName,
    ProfileEvent,
    RunKind,
    RunStarted,
    StageStarted,
    SweepFailure,
    SweepPoint,
)

if TYPE_CHECKING:
    from sharpv_cli.pipeline.bench import Bench
    from sharpv_cli.settings import SamplingSettings, Settings
    from sharpv_cli.video.frames import Frames
    from sharpv_cli.video.probe import Scan

DEFAULT_NEW_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, and how often: `warmup` rounds and `runs` that count, of `new_tokens` tokens each."""

    methods: Sequence[MethodName] = tuple(METHODS)
    engines: Sequence[EngineName] = ()
    sweep: Sequence[SweptSettings] = ()
    warmup: int = 1
    runs: int = 5
    new_tokens: int = DEFAULT_NEW_TOKENS

    def __post_init__(self) -> None:
        assert self.methods and len(set(self.methods)) == len(self.methods), self.methods
        assert self.warmup >= 0 and self.runs >= 0 and self.new_tokens >= 1, self


def profile(
    video: VideoPath, question: str, settings: Settings, plan: Plan, scan: Scan | None = None
) -> Generator[ProfileEvent, None, None]:
    """Measure the methods, engines and swept values of `plan` on one clip; after each run comes a ClipProfile of all.

    Each answers once as `ask` does. Then come `warmup` rounds, which are not kept, and `runs` rounds, which are,
    each of all in turn, so that a drift of the machine meets all alike. These runs have exactly `new_tokens` new
    tokens (end tokens are ignored) and begin with the decoded frames, so preprocessing and vision are measured
    in each; decoding and loading are measured once, one after the other. A long clip is decoded while it is encoded,
    and so anew in each run. A swept number of frames is measured
    dense as well; engines dense and with the settings as given, `stock` dense only.

    A method that cannot be measured ends it all; a value of a sweep or an engine only drops out, with its reason.
    KeyboardInterrupt, also one thrown in between two events, ends in a last ClipProfile that says `interrupted`;
    before the first answer there is none, and it is raised on. Raises VideoError, ModelError, ResourceError,
    UsageError.
    """
    given = _seeded(settings, secrets.randbelow(2**32))
    named = [MethodLane(method, settings_of(method, given)) for method in plan.methods]
    swept = [lane for point in plan.sweep for lane in _swept(point, given.generation.seed)]
    compared = [
        EngineLane(method, at, engine=engine) for engine, method, at in engine_settings(plan.engines, given)
    ]
    run = _Profile(video, question, settings, named, swept, compared, plan, scan)
    try:
        yield from run.events()
    except KeyboardInterrupt:
        if named[0].measured is None:
            raise
        yield run.result(interrupted=True)


def _swept(point: SweptSettings, seed: int | None) -> Iterator[SweepLane]:
    """The lane of a value, and for frames a dense one beside it, where that is not the same."""
    given = point.settings if seed is None else _seeded(point.settings, seed)
    yield SweepLane("both", given, key=point.key, value=point.value)
    dense = settings_of("dense", given)
    if point.key == "frames" and dense != given:
        yield SweepLane("dense", dense, key=point.key, value=point.value)


@dataclass
class _Profile:
    """The state of one profile while it comes to be."""

    video: VideoPath
    question: str
    settings: Settings
    named: list[MethodLane]
    swept: list[SweepLane]
    compared: list[EngineLane]
    plan: Plan
    scan: Scan | None
    rates: DeviceRates | None = None
    started: int = 0

    def events(self) -> Iterator[ProfileEvent]:
        yield StageStarted("decode")
        import_module("sharpv_cli.video.decoding")  # not within the time of the first clip
        clips, streamed = self._decode()
        yield StageStarted("load")
        session, load_sec = timed(lambda: open_session(self.settings))
        loaded = session.loaded
        from sharpv_cli.pipeline.bench import Bench
        from sharpv_cli.pipeline.rates import best_rates, measure_rates

        bench = Bench(
            loaded, load_sec, self.video, self.scan, clips, streamed, self.question, self.plan.new_tokens
        )
        for lane in self._alive():
            self._release()
            yield from self._turn(lane, "answer", partial(lane.answer, bench))
            yield self.result()
        self._release()
        # After the answers, because on the CPU its buffers would count in their peak resident size.
        self.rates = measure_rates(loaded.device, loaded.model.dtype)
        for number in range(self.plan.warmup + self.plan.runs):
            yield from self._round(bench, kept=number >= self.plan.warmup)
        self._release()
        self.rates = best_rates(self.rates, measure_rates(loaded.device, loaded.model.dtype))
        yield self.result()

    def _round(self, bench: Bench, *, kept: bool) -> Iterator[ProfileEvent]:
        for lane in self._alive():
            work = partial(lane.run, bench, kept=kept)
            yield from self._turn(lane, "timed" if kept else "warm-up", work)
            if kept:
                yield self.result()

    def _release(self) -> None:
        for lane in self._lanes:
            lane.release()

    def _turn(self, lane: Lane, kind: RunKind, work: Callable[[], None]) -> Iterator[ProfileEvent]:
        """One run. A lane that others can do without drops out where it fails."""
        self.started += 1
        rounds = self.plan.warmup + self.plan.runs
        total = sum(1 if lane.failure else 1 + rounds for lane in self._lanes)
        yield RunStarted(lane.label, kind, self.started, max(total, self.started))
        try:
            work()
        except SharpvError as error:
            if lane.essential:
                raise
            lane.failure = Failure(str(error), error.hint)
        if lane.failure:
            self._release()

    def _decode(self) -> tuple[dict[SamplingSettings, Frames], set[SamplingSettings]]:
        """Each way of sampling once: only a sweep over frames has several. And those that come while they are encoded.

        Engines are compared on all frames at once, for stock has no other way.
        """
        clips: dict[SamplingSettings, Frames] = {}
        streamed: set[SamplingSettings] = set()
        for lanes in (*_alike([*self.named, *self.swept]), *_alike(self.compared)):
            settings, whole = lanes[0].settings, lanes[0] in self.compared
            try:
                if settings.sampling in clips:
                    continue
                with self._decoded(settings, whole) as frames:
                    if frames.coming is None:
                        clips[settings.sampling] = frames
                    else:
                        streamed.add(settings.sampling)
            except SharpvError as error:
                if any(lane.essential for lane in lanes):
                    raise
                for lane in lanes:
                    lane.failure = Failure(str(error), error.hint)
        return clips, streamed

    def _decoded(self, settings: Settings, whole: bool) -> Frames:
        if whole:
            return decode_whole(self.video, settings, self.scan)
        return decode(self.video, settings, self.scan)

    @property
    def _lanes(self) -> list[Lane]:
        return [*self.named, *self.swept, *self.compared]

    def _alive(self) -> list[Lane]:
        return [lane for lane in self._lanes if lane.failure is None]

    def result(self, *, interrupted: bool = False) -> ClipProfile:
        return ClipProfile(
            question=self.question,
            new_tokens=self.plan.new_tokens,
            warmup=self.plan.warmup,
            methods=tuple(lane.measured for lane in self.named if lane.measured),
            sweep=tuple(
                SweepPoint(lane.key, lane.value, lane.measured) for lane in self.swept if lane.measured
            ),
            rates=self.rates,
            m=self.settings.memory.m if self.settings.memory.enabled else None,
            interrupted=interrupted,
            sweep_failures=tuple(
                SweepFailure(lane.key, lane.value, lane.method, lane.failure)
                for lane in self.swept
                if lane.failure
            ),
            engines=tuple(lane.profile for lane in self.compared if lane.answered or lane.failure),
        )


def _alike(lanes: Sequence[Lane]) -> Iterator[list[Lane]]:
    """The lanes that take the same frames."""
    for sampling in dict.fromkeys(lane.settings.sampling for lane in lanes):
        yield [lane for lane in lanes if lane.settings.sampling == sampling]


def _seeded(settings: Settings, seed: int) -> Settings:
    """Every run samples with the same seed, so that methods differ by what they are; greedy runs have none."""
    generation = settings.generation
    if generation.temperature == 0 or generation.seed is not None:
        return settings
    return settings.model_copy(update={"generation": generation.model_copy(update={"seed": seed})})
