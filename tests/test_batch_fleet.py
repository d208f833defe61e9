"""Processes that die: the row that one was at is told, the others are answered; a run that cannot go on says why."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from sharpv_cli import shortage
from sharpv_cli.batch import fleet
from sharpv_cli.batch.fleet import Fleet
from sharpv_cli.batch.planning import Asked, Job
from sharpv_cli.batch.results import Left
from sharpv_cli.errors import ModelError, ResourceError, ShortageError
from sharpv_cli.settings import resolve
from sharpv_cli.types import Waiting

SETTINGS = resolve({}, {}).settings


def job(name: str, *questions: str) -> Job:
    return Job(name, SETTINGS, tuple(Asked(f"{name}#{n}", 1, text, "d") for n, text in enumerate(questions)))


class Worker:
    """Stands for a loaded model; what it does depends on the question."""

    session = SimpleNamespace(several=None)

    def documents(self, one: Job, _read: Any) -> Iterator[Any]:
        for asked in one.questions:
            if asked.question.startswith("die"):
                os.kill(os.getpid(), int(asked.question.split()[1]))
            if asked.question == "exit":
                os._exit(1)
            yield {"id": asked.id, "process": os.getpid()}


@dataclass(frozen=True)
class Model:
    """Where `error`, one that cannot be loaded; where `dies`, one that takes its process along."""

    error: Exception | None = None
    dies: bool = False

    def load(self, _device: str | None) -> Worker:
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.error is not None:
            raise self.error
        return Worker()


class Crowded:
    """A model that does not fit, because somebody else holds memory."""

    def load(self, _device: str | None) -> Worker:
        raise ResourceError("; ".join(filter(None, (one() for one in shortage.neighbours))))


def somebody() -> str:
    return "`sharpv warm stop` ends process 7"


class Steps:
    """Stands for an engine for several answers at once."""

    most, has_room = 4, True

    def step(self) -> None:
        """All can go on."""


class Several(Worker):
    """A question is answered, or is deadly, after as many steps as it says: `3 what?`."""

    session = SimpleNamespace(several=Steps())

    def documents(self, one: Job, _read: Any) -> Iterator[Any]:
        for asked in one.questions:
            steps, _, rest = asked.question.partition(" ")
            yield from (Waiting() for _ in range(int(steps)))
            yield from super().documents(replace(one, questions=(replace(asked, question=rest),)), _read)


@dataclass(frozen=True)
class SeveralModel(Model):
    def load(self, _device: str | None) -> Worker:
        return Several()


def told(jobs: list[Job], devices: int = 1) -> list[Any]:
    with Fleet(Model(), [None] * devices, readers=1) as processes:  # type: ignore[arg-type]
        return list(processes.documents(jobs))


def test_jobs_are_shared_by_the_processes() -> None:
    found = told([job(f"{n}.mp4", "what?", "who?") for n in range(12)], devices=2)
    assert sorted(one["id"] for one in found) == sorted(f"{n}.mp4#{q}" for n in range(12) for q in (0, 1))
    assert len({one["process"] for one in found}) == 2


def test_a_job_that_kills_its_process_costs_what_was_left_of_it() -> None:
    crash, short = f"die {int(signal.SIGSEGV)}", f"die {int(signal.SIGKILL)}"
    jobs = [job("a", "what?"), job("b", "what?", crash, "who?"), job("c", short, "who?"), job("d", "what?")]
    found = told(jobs)
    assert [one["id"] for one in found] == ["a#0", "b#0", "b#1", "b#2", "c#0", "c#1", "d#0"]
    assert [one.get("exit_code") for one in found] == [None, None, 5, 5, 5, 5, None]
    assert "answering b: the model's process ended (SIGSEGV)" in found[2]["error"]
    assert "answering c: the model's process was killed" in found[4]["error"]
    assert "process" in found[6]


@pytest.mark.parametrize("end", [signal.SIGSEGV, signal.SIGKILL])
def test_of_several_rows_on_their_way_only_the_deadly_one_gets_an_error(end: int) -> None:
    """All that were on their way are asked again, each alone; what was told before is not told again."""
    jobs = [
        job("a", "9 what?"),
        job("b", "0 what?", "9 who?"),
        job("c", f"2 die {int(end)}", "0 what?"),
        *(job(f"d{number}", "1 what?") for number in range(5)),
    ]
    with Fleet(SeveralModel(), [None], readers=1) as processes:  # type: ignore[arg-type]
        found = list(processes.documents(jobs))
    assert len(found) == len({one["id"] for one in found}) == 10
    assert {one["id"] for one in found if "error" in one} == {"c#0", "c#1"}
    assert all("answering c: the model's process" in one["error"] for one in found if "error" in one)


def test_rows_in_a_row_that_get_the_process_killed_cost_themselves() -> None:
    killers = [job(str(number), f"die {int(signal.SIGKILL)}") for number in range(5)]
    found = told([*killers, job("good", "what?")])
    assert [one["id"] for one in found] == [*(f"{number}#0" for number in range(5)), "good#0"]
    assert [one.get("exit_code") for one in found] == [5] * 5 + [None]


def test_a_run_in_which_all_die_ends_and_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "_MOST_DEATHS", 2)
    found: list[Any] = []
    with (
        Fleet(Model(), [None], readers=1) as processes,  # type: ignore[arg-type]
        pytest.raises(ResourceError, match=r"2 times in a row .* answering b: .* \(SIGABRT\)"),
    ):
        found.extend(iter(processes.documents([job(name, f"die {int(signal.SIGABRT)}") for name in "abc"])))
    assert [one["id"] for one in found] == ["a#0", "b#0"], "a line each, so that the next run knows"


def test_a_process_that_lacks_memory_knows_who_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortage, "neighbours", [somebody])
    with (
        pytest.raises(ResourceError, match="`sharpv warm stop` ends process 7"),
        Fleet(Crowded(), [None], 1),  # type: ignore[arg-type]
    ):
        pass


def test_what_loading_raises_is_raised() -> None:
    with (
        pytest.raises(ModelError, match="no such model"),
        Fleet(Model(ModelError("no such model")), [None], 1),
    ):  # type: ignore[arg-type]
        pass
    with (
        pytest.raises(ShortageError, match=r"loading the model: .* was killed"),
        Fleet(Model(dies=True), [None], 1),
    ):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize("end", [f"die {int(signal.SIGABRT)}", "exit"])
def test_under_a_tight_limit_nothing_is_blamed_on_a_video(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """OpenMP ends a process that gets no thread with exit code 1, C++ with SIGABRT."""
    monkeypatch.setattr("sharpv_cli.shortage.tight", lambda: shortage.THREADS)
    (left,) = told([job("a", end)])
    assert isinstance(left, Left)
    assert "not enough threads or processes" in str(left.error)
