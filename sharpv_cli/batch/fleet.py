"""Model processes, each with readers of its own; one that dies costs the job that it was at.

A driver that crashes, or the system when memory runs out, ends a whole process. So the command's own holds neither a
model nor a decoder: it gives out jobs, hears what is told of them, and starts anew what ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Self

from sharpv_cli import shortage
from sharpv_cli.batch.planning import Job
from sharpv_cli.batch.results import Told, told_of_failure
from sharpv_cli.batch.working import READ_AHEAD, outcome, read_frames
from sharpv_cli.cores import cores, share
from sharpv_cli.errors import ResourceError, SharpvError, ShortageError
from sharpv_cli.pipeline.conveyor import Conveyor
from sharpv_cli.shortage import Attempt
from sharpv_cli.text import shown
from sharpv_cli.types import Waiting
from sharpv_cli.video.local import name_of
from sharpv_cli.video.read_ahead import ReadAhead
from sharpv_cli.video.shares import Shares

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sharpv_cli.batch.processes import Model
    from sharpv_cli.batch.working import Read, Worker
    from sharpv_cli.video.isolated import IsolatedReader

_MOST_DEATHS = 20  # in a row: then it is not the videos. Each costs a loading of the model
_MOST_HELD = 64  # lines
_READY, _BEGUN, _DONE = "ready", "begun", "done"


@dataclass
class _Station:
    """A process with the model, and the jobs that it was given, by number, which are to be answered.

    `begun` are those that it is at, and those that were answered meanwhile, each with what is told of it and is held
    back so that lines come in order. Where it ended at several, they are `suspects`: each is given alone, until it is
    known which one ends it.
    """

    process: Any
    connection: Connection
    device: str | None
    given: dict[int, Job] = field(default_factory=dict)
    begun: dict[int, list[Told]] = field(default_factory=dict)
    suspects: deque[Job] = field(default_factory=deque)
    is_trying: bool = False
    deaths: int = 0
    _count: int = 0

    def give(self, job: Job) -> None:
        self._count += 1
        self.given[self._count] = job
        with suppress(ConnectionError):  # its end is heard of
            self.connection.send((self._count, job))

    def wants(self, ahead: int) -> bool:
        """Whether it has room for another job, `ahead` of those that it is at."""
        if not self.given:
            self.is_trying = False
        return not (self.suspects or self.is_trying) and len(self.given.keys() - self.begun.keys()) <= ahead

    def try_alone(self) -> None:
        """Give a suspect, where there is one and nothing else."""
        if self.suspects and not self.given:
            self.is_trying = True
            self.give(self.suspects.popleft())

    def hear(self, number: int, told: Told | str) -> list[Told]:
        """What is to be told now."""
        if told == _BEGUN:
            self.begun[number] = []
        elif told == _DONE:
            del self.given[number]
            self.deaths = 0
        else:
            job = self.given[number]
            self.given[number] = replace(job, questions=job.questions[1:])
            self.begun[number].append(told)  # type: ignore[arg-type]
        return self._in_order()

    def _in_order(self) -> list[Told]:
        """Of the job that was begun first, and of those behind it where it is done; of all where much is held back."""
        due: list[Told] = []
        for number in list(self.begun):
            due += self._released(number)
            if number in self.given:
                break
            del self.begun[number]
        return due + (self.held() if sum(map(len, self.begun.values())) > _MOST_HELD else [])

    def held(self) -> list[Told]:
        """All that was held back."""
        return [told for number in self.begun for told in self._released(number)]

    def _released(self, number: int) -> list[Told]:
        told, self.begun[number] = self.begun[number], []
        return told

    def at(self) -> list[int]:
        """The numbers of the jobs of which one ended it: before it is at any, it is the first that it was given."""
        return sorted(self.given.keys() & self.begun.keys()) or list(self.given)[:1]

    def end(self) -> None:
        self.connection.close()
        self.process.kill()  # nobody waits for what it is at
        self.process.join()


class Fleet:
    """Loads the model on each of `devices`, None being that of the settings, and reads `readers` videos at a time.

    A context manager; the processes end with it. Raises what loading the model raises.
    """

    def __init__(self, model: Model, devices: Sequence[str | None], readers: int) -> None:
        self._model = model
        self._shares = Shares.of(cores(), readers, len(devices))
        self._stations: list[_Station] = []
        for device in devices:
            self._stations.append(self._start(device))

    def __enter__(self) -> Self:
        with ExitStack() as on_failure:
            on_failure.push(self.__exit__)
            for station in self._stations:
                self._expect_ready(station)
            on_failure.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for station in self._stations:
            station.end()

    def documents(self, jobs: Iterable[Job]) -> Iterator[Told]:
        """What is told of all jobs, as it comes. Raises ResourceError where processes end again and again."""
        waiting = deque(jobs)
        self._give_out(waiting)
        while busy := {station.connection: station for station in self._stations if station.given}:
            for connection in wait(list(busy)):
                yield from self._hear(busy[connection], waiting)  # type: ignore[index]
                self._give_out(waiting)

    def _give_out(self, waiting: deque[Job]) -> None:
        for station in self._stations:
            station.try_alone()
            while waiting and station.wants(self._shares.readers + READ_AHEAD):
                station.give(waiting.popleft())

    def _hear(self, station: _Station, waiting: deque[Job]) -> Iterator[Told]:
        try:
            number, told = station.connection.recv()
        except (EOFError, ConnectionError):
            yield from self._replaced(station, waiting)
            return
        yield from station.hear(number, told)

    def _replaced(self, station: _Station, waiting: deque[Job]) -> Iterator[Told]:
        """What is told of the job that it was at; of several, each is tried alone. Others go to whoever is free."""
        yield from station.held()
        at = station.at()
        jobs = [station.given.pop(number) for number in at]
        error = _loss(station, f"answering {shown(name_of(jobs[0].video))}")
        if len(jobs) == 1:
            yield from (told_of_failure(asked, error) for asked in jobs[0].questions)
        if (deaths := station.deaths + 1) == _MOST_DEATHS:
            raise ResourceError(
                f"{deaths} times in a row the model's process ended; {error}", hint=error.hint
            )
        waiting.extendleft(reversed(station.given.values()))
        station.end()
        new = self._start(station.device)
        new.deaths = deaths
        new.suspects = station.suspects
        if len(jobs) > 1:
            new.suspects.extend(jobs)
        self._stations[self._stations.index(station)] = new
        self._expect_ready(new)

    def _start(self, device: str | None) -> _Station:
        context = multiprocessing.get_context("spawn")  # a fork would carry threads along
        ours, theirs = context.Pipe()
        with theirs:
            neighbours = tuple(shortage.neighbours)  # who registered them is not imported there
            process = context.Process(
                target=_serve, args=(theirs, self._model, device, self._shares, neighbours)
            )
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # it inherits this: Ctrl-C is for us
            process.start()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        return _Station(process, ours, device)

    def _expect_ready(self, station: _Station) -> None:
        try:
            answer = station.connection.recv()
        except (EOFError, ConnectionError) as error:
            raise _shortage(station, "loading the model") from error
        if isinstance(answer, SharpvError):
            raise answer


def _shortage(station: _Station, doing: str) -> ResourceError:
    """Of a process that was at no row's work: nothing but the machine can have ended it."""
    loss = _loss(station, doing)
    return ShortageError(str(loss), hint=loss.hint) if station.process.exitcode == -signal.SIGKILL else loss


def _loss(station: _Station, doing: str) -> ResourceError:
    """Why the process ended. One that the system killed at a row gets that row an error, by which the next run knows
    it and asks it last; a row that is left without a line would be the first again.
    """
    station.process.join()
    code = station.process.exitcode
    if code == -signal.SIGKILL:
        return ResourceError(
            f"{doing}: the model's process was killed, as the system does when memory runs out",
            hint="close other programs, take fewer --processes or --readers, or a smaller model",
        )
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    if what := shortage.tight():
        return shortage.short(what, f"{doing} (the model's process ended: {how})")
    if code > 0:  # as OpenMP does it
        return shortage.short(shortage.THREADS, f"{doing} (the model's process ended: {how})")
    return ResourceError(
        f"{doing}: the model's process ended ({how})", hint="what it said is above; `sharpv doctor` may help"
    )


def _serve(
    connection: Connection,
    model: Model,
    device: str | None,
    shares: Shares,
    neighbours: Sequence[Callable[[], str | None]],
) -> None:
    """The process: answers what it is given, several at once, those first whose videos have been read."""

    threading.Thread(target=_end_with_parent, daemon=True).start()
    share(shares.model)
    shortage.neighbours[:] = neighbours
    with Attempt("loading the model") as attempt:
        worker = model.load(device)
    connection.send(attempt.error or _READY)
    if attempt.error is not None:
        return
    share(shares.long)
    with ReadAhead(_read, readers=shares.readers, share=shares.reader, is_open=True) as ahead:
        threading.Thread(target=_receive, args=(connection, ahead), daemon=True).start()

        def begin(wait: bool) -> Generator[tuple[int, Told | str] | Waiting] | None:
            read = ahead.first(wait=wait)
            return None if read is None else _work(worker, *read)

        conveyor: Conveyor[tuple[int, Told | str]] = Conveyor(worker.session.several)
        for told in conveyor.told(begin):
            connection.send(told)


def _work(
    worker: Worker, given: tuple[int, Job], coming: Future[Read]
) -> Generator[tuple[int, Told | str] | Waiting]:
    """What the command is told of a job."""
    number, job = given
    yield number, _BEGUN
    for told in worker.documents(job, outcome(coming.result)):
        yield told if isinstance(told, Waiting) else (number, told)
    yield number, _DONE


def _read(reader: IsolatedReader, given: tuple[int, Job]) -> Read:
    return read_frames(reader, given[1])


def _receive(connection: Connection, ahead: ReadAhead[tuple[int, Job], Read]) -> None:
    """Begin to read what is given, as it comes."""
    with suppress(EOFError, ConnectionError):
        while True:
            ahead.give(connection.recv())


def _end_with_parent() -> None:
    """A parent that was killed would be waited for for ever, and a GPU be held."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
