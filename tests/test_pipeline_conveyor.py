"""Work on a conveyor: who waits lets others go on, who ends makes room, and nobody is left behind."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from sharpv_cli.pipeline.conveyor import Conveyor
from sharpv_cli.types import Waiting


@dataclass
class Steps:
    """Stands for an engine for several answers at once."""

    most: int = 3
    has_room: bool = True
    count: int = 0

    def step(self) -> None:
        self.count += 1


@dataclass
class Works:
    """As many as there are, each with a name and the steps that it waits; `gone` are those that were closed early."""

    steps: list[tuple[str, int]]
    begun: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    asked: list[bool] = field(default_factory=list)
    company: tuple[str, ...] = ()  # whose first wait is one that others may join

    def begin(self, wait: bool) -> Generator[str | Waiting] | None:
        self.asked.append(wait)
        return self._work(*self.steps.pop(0)) if self.steps else None

    def _work(self, name: str, steps: int) -> Generator[str | Waiting]:
        self.begun.append(name)
        try:
            for step in range(steps):
                yield Waiting(company=not step and name in self.company)
            yield name
        except GeneratorExit:
            self.gone.append(name)
            raise


def told(engine: Steps | None, works: Works) -> Generator[str]:
    conveyor: Conveyor[str] = Conveyor(engine)  # type: ignore[arg-type]
    return conveyor.told(works.begin)


def test_one_begins_with_each_step_and_one_that_ends_makes_room() -> None:
    engine, works = Steps(), Works([("a", 5), ("b", 1), ("c", 2), ("d", 0), ("e", 1), ("f", 1)])
    assert list(told(engine, works)) == ["b", "d", "c", "a", "e", "f"]
    assert engine.count == 6, "a begins with the first step, f with the last"
    assert works.asked == [True, False, False, False, False, True, True], (
        "nobody waits while others can go on"
    )


def test_others_begin_before_the_step_that_they_may_join() -> None:
    engine = Steps(most=4)
    works = Works([("a", 2), ("b", 1), ("c", 1), ("d", 1), ("e", 1)], company=("a", "b"))
    leaving = told(engine, works)
    assert next(leaving) == "b"
    assert (engine.count, works.begun) == (1, ["a", "b", "c"])
    assert list(leaving) == ["c", "a", "d", "e"]
    assert engine.count == 3
    full, works = Steps(has_room=False), Works([("a", 1), ("b", 1)], company=("a", "b"))
    assert list(told(full, works)) == ["a", "b"]
    assert full.count == 2


def test_without_room_or_an_engine_for_several_one_goes_after_the_other() -> None:
    works = Works([("a", 2), ("b", 1)])
    assert list(told(Steps(has_room=False), works)) == ["a", "b"]
    works = Works([("a", 0), ("b", 0)])
    assert list(told(None, works)) == ["a", "b"]


def test_whoever_leaves_early_closes_what_is_on_its_way() -> None:
    works = Works([("a", 9), ("b", 0), ("c", 9), ("d", 9)])
    leaving = told(Steps(), works)
    assert next(leaving) == "b"
    leaving.close()
    assert (works.begun, works.gone) == (["a", "b"], ["a", "b"])
