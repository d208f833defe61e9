"""What takes turns in a profile: methods, values of a sweep, and engines. torch is imported when a lane runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, ClassVar

from sharpv_cli.session import Session
from sharpv_cli.types import (
    Answer,
    EngineAnswer,
    EngineName,
    EngineProfile,
    EngineRun,
    Failure,
    MethodName,
    MethodProfile,
)
from sharpv_cli.types.profile import method_label

if TYPE_CHECKING:
    from sharpv_cli.pipeline.bench import Bench
    from sharpv_cli.settings import Settings


@dataclass(frozen=True, slots=True)
class SweptSettings:
    """One value of a sweep: `settings` are the ones given, with `key` at `value`."""

    key: str
    value: float
    settings: Settings


@dataclass
class Lane(ABC):
    """One way of answering: `answer` once, as `ask` would, then `run` in turn with the others.

    A lane that is not `essential` may fail without an end to all: its `failure` says why.
    """

    method: MethodName
    settings: Settings
    failure: Failure | None = field(default=None, kw_only=True)
    essential: ClassVar[bool] = False
    _session: Session | None = field(default=None, init=False, compare=False)

    @property
    @abstractmethod
    def label(self) -> str:
        """What it is called while it runs."""

    @abstractmethod
    def answer(self, bench: Bench) -> None:
        """Give the natural answer."""

    @abstractmethod
    def run(self, bench: Bench, *, kept: bool) -> None:
        """Give an answer of a set number of tokens, and keep its times or not."""

    def session(self, bench: Bench) -> Session:
        """The model with an engine of the lane's own.

        What an engine keeps for a next answer is made for one length of prompt, and lanes of other lengths take
        turns: with a common engine each would make it anew.
        """
        if self._session is None:
            self._session = Session.of(bench.loaded, self.settings.engine)
        return self._session

    def release(self) -> None:
        """Give back what the engine holds, so that it does not count in another lane's peak memory."""
        if self._session is not None:
            self._session.release()


@dataclass
class MethodLane(Lane):
    """A method with the settings as given."""

    measured: MethodProfile | None = None
    essential: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return method_label(self.method)

    def answer(self, bench: Bench) -> None:
        from sharpv_cli.pipeline.costs import cost_of

        answer = bench.answer(self.session(bench), self.settings)
        self.measured = MethodProfile(self.method, answer, (), cost_of(bench.loaded, answer))

    def run(self, bench: Bench, *, kept: bool) -> None:
        assert self.measured is not None, "the first run gives the answer"
        timing = bench.answer(self.session(bench), self.settings, timed=True).timing
        if kept:
            self.measured = replace(self.measured, runs=(*self.measured.runs, timing))


@dataclass
class SweepLane(MethodLane):
    """A method with one setting at a value of a sweep."""

    key: str = ""
    value: float = 0.0
    essential: ClassVar[bool] = False

    @property
    def label(self) -> str:
        dense = ", dense" if self.method == "dense" else ""
        return f"{self.key}={self.value:g}{dense}"


@dataclass
class EngineLane(Lane):
    """An engine, dense or with the settings as given; `stock` is dense only."""

    engine: EngineName = "stock"
    answered: EngineAnswer | None = None
    runs: tuple[EngineRun, ...] = ()

    @property
    def label(self) -> str:
        return self.engine if self.engine == "stock" else f"{self.engine}, {method_label(self.method)}"

    @property
    def profile(self) -> EngineProfile:
        return EngineProfile(self.engine, self.method, self.answered, self.runs, self.failure)

    def answer(self, bench: Bench) -> None:
        self.answered, _ = self._once(bench)

    def run(self, bench: Bench, *, kept: bool) -> None:
        _, run = self._once(bench, timed=True)
        if kept:
            self.runs = (*self.runs, run)

    def _once(self, bench: Bench, *, timed: bool = False) -> tuple[EngineAnswer, EngineRun]:
        session = self.session(bench)
        if self.engine == "stock":
            from sharpv_cli.pipeline.stock import run_stock

            return run_stock(bench.clip(session, self.settings, timed=timed), bench.question)
        return _engine_run(bench.answer(session, self.settings, timed=timed, whole=True))


def _engine_run(answer: Answer) -> tuple[EngineAnswer, EngineRun]:
    """What an answer tells that stock's tells as well."""
    timing, memory = answer.timing, answer.memory
    run = EngineRun(**{field.name: getattr(timing, field.name) for field in fields(EngineRun)})
    return EngineAnswer(answer.text, answer.token_ids, memory.kv_bytes, memory.peak_bytes), run
