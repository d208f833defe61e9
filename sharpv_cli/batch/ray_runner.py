"""The jobs on a Ray cluster, as one Ray Data pipeline: Ray places the workers, scales them, and replaces lost ones."""

from __future__ import annotations

import logging
import math
import os
import pickle
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from queue import Empty, LifoQueue, SimpleQueue
from typing import TYPE_CHECKING, Any

from sharpv_cli import terminal
from sharpv_cli.batch.planning import Job
from sharpv_cli.batch.processes import Model
from sharpv_cli.batch.results import Document, Told, error_documents
from sharpv_cli.errors import ResourceError, SharpvError, UsageError
from sharpv_cli.terminal.messages import to_devnull
from sharpv_cli.text import shown
from sharpv_cli.types import Waiting
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.local import name_of

if TYPE_CHECKING:
    from sharpv_cli.batch.working import Read, Worker

_ON_CPU, _ON_GPU, _MOST_AT_A_TIME = 1, 16, 64  # jobs of each worker, where nobody says how many
_IN_FLIGHT = 2  # times as many are sent to it; below 1.75 Ray Data would never add a worker
_RETRIES = 3  # of a job whose worker dies: nodes go, and the death may be another job's doing
_RESOURCES = (("num_gpus", "GPU"), ("num_cpus", "CPU"))  # what we and what Ray calls them
_PATIENCE_SEC = 10.0  # for a cluster to answer
_MOST_BLOCKS = 10_000  # beyond so many jobs, several travel together


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where to run; None is what Ray finds itself. `num_gpus` and `num_cpus` are those of each worker."""

    address: str | None = None
    num_gpus: float | None = None
    num_cpus: float | None = None


@dataclass(frozen=True, slots=True)
class _Pace:
    """How many jobs a worker has, how many of them it does at a time, and how often one is tried again."""

    in_flight: int
    at_a_time: int
    retries: int


_ALONE = _Pace(1, 1, 1)


def _swift(model: Model, num_gpus: float) -> _Pace:
    """One job more than are answered at a time, which is decoded meanwhile."""
    at_a_time = (model.batch_size or (_ON_GPU if num_gpus > 0 else _ON_CPU)) + 1
    return _Pace(_IN_FLIGHT * at_a_time, at_a_time, _RETRIES)


def require_ray() -> None:
    """Raise UsageError where Ray Data cannot be imported."""
    if missing := [name for name in ("ray", "pyarrow", "pandas") if find_spec(name) is None]:
        raise UsageError(
            f"--runner ray needs what is not installed: {', '.join(missing)}",
            hint="pip install 'sharpv[ray]'",
        )


def on_cluster(jobs: Sequence[Job], model: Model, cluster: Cluster) -> Iterator[Told]:
    """The documents of all jobs, those of a job together, in the order in which workers end.

    A job whose worker dies is done by another one, a few times. What is left then is done again, each job alone with
    its worker: those that a worker's death took along are answered, and what ended it is told. Raises ResourceError
    without a cluster or where Ray gives up, and what loading the model raises on a worker.
    """
    ray = _connected(cluster)
    left = dict(enumerate(jobs))
    try:
        for pace in (None, _ALONE):
            yield from _done(ray, left, model, cluster, pace)
    except ray.exceptions.RayError as error:
        raise ResourceError(
            f"Ray gave up: {str(error).splitlines()[0]}",
            hint="Ray's logs say why (/tmp/ray/session_latest/logs); rerunning the same command resumes",
        ) from error
    finally:
        ray.shutdown()
    for job in left.values():
        yield from _lost(job)


def _done(
    ray: Any, left: dict[int, Job], model: Model, cluster: Cluster, pace: _Pace | None
) -> Iterator[Told]:
    """The documents of the jobs that are done, which are `left` no longer."""
    if not left:
        return
    blocks = _answers(ray, left, model, cluster, pace).iter_batches(batch_size=None, batch_format="pyarrow")
    for row in (row for block in blocks for row in block.to_pylist()):
        told = pickle.loads(row["told"])
        if isinstance(told, SharpvError):
            raise told
        if left.pop(row["job"], None) is not None:
            yield from told


def _connected(cluster: Cluster) -> Any:
    """Ray, with nothing of it on stdout, and nothing sent to its makers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "warning" if terminal.is_verbose() else "fatal")
    import ray

    address = cluster.address or os.environ.get("RAY_ADDRESS") or "local"
    own = {"include_dashboard": False} if address == "local" else {}
    try:
        _reach(address)
        with _greeting_hidden():
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, ValueError, RuntimeError) as error:
        raise ResourceError(
            f"no Ray cluster at {address}: {str(error).splitlines()[0]}",
            hint="start one with `ray start --head`; --verbose shows what Ray says",
        ) from error
    return ray


@contextmanager
def _greeting_hidden() -> Iterator[None]:
    """Ray's core says on file descriptor 2 that its log level was set, at every level; `--verbose` shows it."""
    if terminal.is_verbose() or sys.stderr is None:  # it was closed (`2>&-`)
        yield
        return
    stderr = os.dup(2)
    to_devnull(2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _reach(address: str) -> None:
    """Raise OSError where nobody listens: Ray would try for many minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_SEC).close()


def _answers(ray: Any, jobs: Mapping[int, Job], model: Model, cluster: Cluster, pace: _Pace | None) -> Any:
    """The lazy dataset: a row for each job that is done."""
    from ray import data

    _hush()
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # what a lost block held is told when all others are done
    num_gpus = _gpus(ray, model) if cluster.num_gpus is None else cluster.num_gpus
    num_cpus = 1.0 if cluster.num_cpus is None else cluster.num_cpus
    _warn(ray, num_gpus=num_gpus, num_cpus=num_cpus)
    pace = pace or _swift(model, num_gpus)
    rows = [{"job": number, "pickled": pickle.dumps(job)} for number, job in jobs.items()]
    # Ray warns of what 2.64 will call otherwise; pyproject.toml takes none of those yet.
    with warnings.catch_warnings(action="ignore", category=ray.util.annotations.RayDeprecationWarning):
        given = data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS))
        return given.map_batches(
            RayWorker,
            fn_constructor_args=(model, os.getcwd()),  # noqa: PTH109 - a text, whatever the worker runs on
            compute=data.ActorPoolStrategy(
                min_size=1,
                max_size=len(rows),
                initial_size=_at_first(ray, len(rows) / pace.in_flight, num_gpus=num_gpus, num_cpus=num_cpus),
                max_tasks_in_flight_per_actor=pace.in_flight,
                max_concurrent_calls_per_actor=pace.at_a_time,
                enable_true_multi_threading=True,  # `RayWorker` sees to it that the model does one thing at a time
            ),
            batch_size=1,
            batch_format="numpy",
            num_gpus=num_gpus,
            num_cpus=num_cpus,
            max_task_retries=pace.retries,  # without it, there is no end
        )


def _hush() -> None:
    """Ray Data says much on stderr, all of which is in its log as well."""
    for handler in logging.getLogger("ray.data").handlers:
        if handler.name == "console" and not terminal.is_verbose():
            handler.setLevel(logging.CRITICAL)


def _gpus(ray: Any, model: Model) -> float:
    """One, where the cluster has any and the model may use it."""
    has_any = ray.cluster_resources().get("GPU", 0) > 0
    return 1.0 if has_any and model.resolved.settings.device != "cpu" else 0.0


def _at_first(ray: Any, most: float, **wanted: float) -> int:
    """How many workers begin: as many as there is room and work for. Ray Data adds more, one after the other."""
    free = ray.available_resources()
    room = [int(free.get(key, 0) / wanted[name]) for name, key in _RESOURCES if wanted[name] > 0]
    return max(1, min([math.ceil(most), *room]))


def _warn(ray: Any, **wanted: float) -> None:
    """Ray waits without a word for resources that no node has; an autoscaling cluster may get them."""
    there = ray.cluster_resources()
    for name, key in _RESOURCES:
        if wanted[name] > there.get(key, 0):
            terminal.say(
                "warning", f"the cluster has {there.get(key, 0):g} {key} now, a worker wants {wanted[name]:g}"
            )


def _lost(job: Job) -> Iterator[Document]:
    error = ResourceError(
        f"answering {shown(name_of(job.video))}: each Ray worker that it was given to ended",
        hint="Ray's logs say why (/tmp/ray/session_latest/logs); rerunning the same command tries it last",
    )
    yield from error_documents(job.failures(error))


class RayWorker:
    """On a worker, made once: the model, and readers for as many jobs as come at a time.

    `folder` is where the command runs, from which relative names of videos are meant.
    """

    def __init__(self, model: Model, folder: str) -> None:
        with suppress(FileNotFoundError):  # absolute names are found all the same
            os.chdir(folder)
        self._readers: LifoQueue[IsolatedReader] = LifoQueue()
        for _ in range(_MOST_AT_A_TIME):
            self._readers.put(IsolatedReader(share=1))
        self._ready: SimpleQueue[tuple[Job, Read | SharpvError, Future[list[Told]]]] = SimpleQueue()
        self._worker: Worker | SharpvError
        try:
            self._worker = model.load()
        except SharpvError as error:  # Ray would tell it as a text, and try again
            self._worker = error
        else:
            threading.Thread(target=self._answer, args=(self._worker,), daemon=True).start()

    def __call__(self, block: Mapping[str, Any]) -> dict[str, list[Any]]:
        """`job` and `pickled` of one job; what is `told` of it, pickled again, or why the model cannot be loaded."""
        (number,), (pickled,) = block["job"], block["pickled"]
        refusal = self._worker if isinstance(self._worker, SharpvError) else None
        told = refusal or self._told(pickle.loads(pickled))
        return {"job": [int(number)], "told": [pickle.dumps(told)]}

    def _told(self, job: Job) -> list[Told]:
        from sharpv_cli.batch.working import outcome, read_frames

        reader = self._readers.get()
        try:
            read = outcome(lambda: read_frames(reader, job))
        finally:
            self._readers.put(reader)
        answered: Future[list[Told]] = Future()
        self._ready.put((job, read, answered))
        return answered.result()

    def _answer(self, worker: Worker) -> None:
        """The thread that has the model. What ends it, and is no job's, ends this worker: Ray begins another one."""
        from sharpv_cli.pipeline.conveyor import Conveyor

        def begin(wait: bool) -> Generator[Waiting | None] | None:
            with suppress(Empty):
                return _work(worker, *self._ready.get(block=wait))
            return None

        try:
            conveyor: Conveyor[None] = Conveyor(worker.session.several)
            for _ in conveyor.told(begin):
                pass
        finally:
            traceback.print_exc()
            os._exit(1)


def _work(
    worker: Worker, job: Job, read: Read | SharpvError, answered: Future[list[Told]]
) -> Generator[Waiting | None]:
    told: list[Told] = []
    for one in worker.documents(job, read):
        if isinstance(one, Waiting):
            yield one
        else:
            told.append(one)
    answered.set_result(told)
