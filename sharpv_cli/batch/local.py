"""The jobs on this machine: videos are read ahead in child processes, by one model process or one for each GPU."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpv_cli.batch.planning import Job
from sharpv_cli.batch.results import Told
from sharpv_cli.batch.working import Worker, outcome, read_frames
from sharpv_cli.cores import cores
from sharpv_cli.errors import ResourceError
from sharpv_cli.pipeline.ahead import ReadAhead
from sharpv_cli.session import open_session

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from sharpv_cli.errors import SharpvError
    from sharpv_cli.settings import Settings
    from sharpv_cli.video.frames import Frames

    Reading = Future[Frames | None]
    Running = set[Future[list[Told]]]

_READ_AHEAD = 2  # videos beyond those that are being read
_MOST_READERS = 8


@dataclass(frozen=True, slots=True)
class Model:
    """Which model answers, as its settings say, and what documents tell of the profile."""

    settings: Settings
    profile_name: str
    profile_source: str

    def load(self, device: str | None = None) -> Worker:
        """Raises ModelError, ResourceError."""
        changes = {} if device is None else {"device": device}
        session = open_session(self.settings.model_copy(update=changes))
        return Worker(session, self.profile_name, self.profile_source)


def default_readers(processes: int) -> int:
    """Videos read at a time: decoders have threads of their own, and the model wants cores as well."""
    return max(processes, min(_MOST_READERS, cores() // 4), 1)


def devices_of(settings: Settings, processes: int | None) -> list[str | None]:
    """The device of each model process: one a GPU where none is named; None is the one of the settings.

    Imports torch where a GPU may be meant.
    """
    gpus = _gpus() if settings.device in ("auto", "cuda") else 0
    count = processes or max(gpus, 1)
    if count == 1:
        return [None]
    return [f"cuda:{number % gpus}" if gpus > 1 else None for number in range(count)]


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def in_this_process(jobs: Sequence[Job], worker: Worker, readers: int) -> Iterator[Told]:
    """The documents of all jobs, each as it comes."""
    with ReadAhead(read_frames, readers=readers, ahead=readers + _READ_AHEAD) as ahead:
        for job, coming in ahead.each(jobs):
            yield from worker.documents(job, outcome(coming))


def in_processes(
    jobs: Sequence[Job], model: Model, devices: Sequence[str | None], readers: int
) -> Iterator[Told]:
    """The documents of all jobs, those of a job together, by a process for each of `devices`.

    Raises ResourceError where one of the processes ends, and what loading the model raises.
    """
    context = multiprocessing.get_context("spawn")  # a fork would carry torch and its threads along
    places: Queue[str | None] = context.Queue()
    for device in devices:
        places.put(device)
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(len(devices), context, _begin, (model, places))
    threads = ThreadPoolExecutor(len(devices) + 1, "job")
    try:
        with ReadAhead(read_frames, readers=readers, ahead=readers + _READ_AHEAD) as ahead:
            running: Running = set()
            for job, coming in ahead.each(jobs):
                running.add(threads.submit(_through, pool, job, coming))
                if len(running) > len(devices):
                    running = yield from _completed(running)
            while running:
                running = yield from _completed(running)
            pool.shutdown()
    except BrokenProcessPool as error:
        raise ResourceError(
            "a process with the model ended, as when memory runs out",
            hint="rerun the same command to resume; fewer --processes take less memory",
        ) from error
    finally:
        for child in set(multiprocessing.active_children()) - others:
            child.kill()  # nobody waits for what it is at
        threads.shutdown(cancel_futures=True)
        pool.shutdown(cancel_futures=True)
        places.close()
        places.join_thread()


def _through(pool: ProcessPoolExecutor, job: Job, coming: Reading) -> list[Told]:
    """On a thread: wait for the frames, then for the answers."""
    return pool.submit(_answer, job, outcome(coming)).result()


def _completed(running: Running) -> Generator[Told, None, Running]:
    """The documents of at least one job; what still runs is returned."""
    done, rest = wait(running, return_when=FIRST_COMPLETED)
    for one in done:
        yield from one.result()
    return rest


class _Process:
    """What a model process knows. The model is loaded with the first job, so that its errors are told as such."""

    model: Model
    device: str | None
    worker: Worker | None = None


def _begin(model: Model, places: Queue[str | None]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent, which gets it too, decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _Process.model, _Process.device = model, places.get()


def _end_with_parent() -> None:
    """The pool's processes would wait for ever for a parent that was killed, and hold their GPU."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _answer(job: Job, read: Frames | SharpvError | None) -> list[Told]:
    if _Process.worker is None:
        _Process.worker = _Process.model.load(_Process.device)
    return list(_Process.worker.documents(job, read))
