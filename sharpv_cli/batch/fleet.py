"""Model processes, one a device, each with readers of its own; one that dies costs the job that it was at.

A driver that crashes, or the system when memory runs out, ends a whole process. So the command's own holds neither a
model nor a decoder: it gives out jobs, hears what is told of them, and starts anew what ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from sharpv_cli import shortage
from sharpv_cli.batch.planning import Job
from sharpv_cli.batch.results import Told, told_of_failure
from sharpv_cli.cores import cores, share
from sharpv_cli.errors import ResourceError, SharpvError, ShortageError
from sharpv_cli.shortage import Attempt
from sharpv_cli.text import shown
from sharpv_cli.video.local import name_of
from sharpv_cli.video.shares import Shares

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sharpv_cli.batch.processes import Model
    from sharpv_cli.batch.working import Read

_READ_AHEAD = 2  # videos beyond those that are being read
_MOST_DEATHS = 20  # in a row: then it is not the videos. Each costs a loading of the model
_READY, _DONE = "ready", "done"


@dataclass
class _Station:
    """A process with the model, and the jobs that it was given: the first is the one that it is at."""

    process: Any
    connection: Connection
    device: str | None
    given: deque[Job] = field(default_factory=deque)
    deaths: int = 0

    def give(self, job: Job) -> None:
        self.given.append(job)
        with suppress(ConnectionError):  # its end is heard of
            self.connection.send(job)

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
            while waiting and len(station.given) <= self._shares.readers + _READ_AHEAD:
                station.give(waiting.popleft())

    def _hear(self, station: _Station, waiting: deque[Job]) -> Iterator[Told]:
        try:
            told = station.connection.recv()
        except (EOFError, ConnectionError):
            yield from self._replaced(station, waiting)
            return
        if told == _DONE:
            station.given.popleft()
            station.deaths = 0
        else:
            job = station.given[0]
            station.given[0] = replace(job, questions=job.questions[1:])
            yield told

    def _replaced(self, station: _Station, waiting: deque[Job]) -> Iterator[Told]:
        """What is told of the job that it was at; the others are given to whoever is free."""
        at, *others = station.given
        error = _loss(station, f"answering {shown(name_of(at.video))}")
        yield from (told_of_failure(asked, error) for asked in at.questions)
        if (deaths := station.deaths + 1) == _MOST_DEATHS:
            raise ResourceError(
                f"{deaths} times in a row the model's process ended; {error}", hint=error.hint
            )
        waiting.extendleft(reversed(others))
        station.end()
        new = self._start(station.device)
        new.deaths = deaths
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
    """The process: answers what it is given, in that order."""
    from sharpv_cli.batch.working import outcome, read_frames
    from sharpv_cli.video.read_ahead import ReadAhead

    threading.Thread(target=_end_with_parent, daemon=True).start()
    share(shares.model)
    shortage.neighbours[:] = neighbours
    with Attempt("loading the model") as attempt:
        worker = model.load(device)
    connection.send(attempt.error or _READY)
    if attempt.error is not None:
        return
    given: SimpleQueue[tuple[Job, Future[Read]]] = SimpleQueue()
    share(shares.long)
    with ReadAhead(read_frames, readers=shares.readers, share=shares.reader) as ahead:
        threading.Thread(target=_receive, args=(connection, ahead, given), daemon=True).start()
        while True:
            job, coming = given.get()
            for told in worker.documents(job, outcome(coming.result)):
                connection.send(told)
            connection.send(_DONE)


def _receive(connection: Connection, ahead: Any, given: SimpleQueue[Any]) -> None:
    """Begin to read what is given, as it comes."""
    with suppress(EOFError, ConnectionError):
        while True:
            job = connection.recv()
            given.put((job, ahead.begin(job)))


def _end_with_parent() -> None:
    """A parent that was killed would be waited for for ever, and a GPU be held."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
