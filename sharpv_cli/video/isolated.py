"""Reading videos in a child process: one that crashes, hangs or takes all memory costs its video and nothing else."""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Self, TypeVar

from sharpv_cli.errors import SharpvError, VideoError
from sharpv_cli.video.local import FilePath, limits_of
from sharpv_cli.video.refusals import shown

T = TypeVar("T")

# Address space, most of which is never touched: libraries and thread stacks alone are about 1 GiB of it.
MEMORY_BYTES = 6 << 30
_START_SEC = 60.0
_GRACE_SEC = 5.0
_HINT = "the file is damaged, or was made to break readers; get it again"


class IsolatedReader:
    """One child process without torch that reads one video after the other; it is replaced when it is lost.

    For several at a time take several readers, each on a thread of its own. A context manager; the child
    ends with it, and by itself when its parent is gone.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._child: _Child | None = None
        self._at_work: _Child | None = None
        self._abandoned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.end()

    def abandon(self) -> None:
        """For another thread: what is being read is not wanted any more, and its `read` raises VideoError."""
        self._abandoned = True
        if (child := self._at_work) is not None:
            child.kill()

    def read(self, path: FilePath, work: Callable[[FilePath], T]) -> T:
        """`work(path)` in the child, as long as the video's own limit of seconds allows.

        Both are pickled, so `work` is a function of a module, or a functools.partial of one:
        `reader.read(path, partial(sample_frames, sampling=...))`. Raises VideoError when the child
        crashes, runs out of memory or out of time, else the SharpvError that `work` raises. Any other error is
        a bug: the child prints its traceback, and this raises RuntimeError.
        """
        child, self._child = self._child or _Child(self._memory_bytes), None
        self._at_work = child
        try:
            if self._abandoned:
                raise VideoError(f"reading {shown(path)} was given up")
            result, error = child.ask(path, work)
            self._child = child
        finally:
            self._at_work = None
            if self._child is None:
                child.end()
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]


class _Child:
    def __init__(self, memory_bytes: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would carry torch and its threads along
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, memory_bytes), daemon=True)
        self._process.start()
        theirs.close()
        if not self._connection.poll(_START_SEC):
            self.end()
            raise RuntimeError(f"the process that reads videos did not start within {_START_SEC:g} s")
        self._connection.recv()

    def ask(self, path: FilePath, work: Callable[[FilePath], Any]) -> tuple[Any, SharpvError | None]:
        seconds = limits_of(path).timeout
        try:
            self._connection.send((work, path, seconds))
            if not self._connection.poll(seconds):
                raise VideoError(f"reading {shown(path)} took longer than {seconds:g} s", hint=_HINT)
            answer: tuple[Any, SharpvError | None] = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise self._loss(path) from error
        return answer

    def _loss(self, path: FilePath) -> Exception:
        self._process.join(_GRACE_SEC)
        code = self._process.exitcode
        if code is not None and code < 0:
            return VideoError(f"reading {shown(path)} crashed ({signal.Signals(-code).name})", hint=_HINT)
        return RuntimeError(f"a bug while reading {shown(path)}: the process ended with {code}")

    def kill(self) -> None:
        """Whoever waits for it finds out; it may be gone already."""
        with suppress(ValueError):
            self._process.kill()

    def end(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.join()
        self._process.close()


def _serve(connection: Connection, memory_bytes: int) -> None:
    """The child: works until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent, which gets it too, decides
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection.send("ready")
    while True:
        try:
            work, path, seconds = connection.recv()
        except EOFError:
            return
        # Ends the process even inside of FFmpeg: for the case that nobody is left to kill it.
        signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_SEC)
        try:
            connection.send(_outcome(path, work))
        except ConnectionError:
            return  # nobody waits for it any more
        signal.setitimer(signal.ITIMER_REAL, 0)


def _outcome(path: FilePath, work: Callable[[FilePath], Any]) -> tuple[Any, SharpvError | None]:
    try:
        return work(path), None
    except SharpvError as error:
        return None, error
    except MemoryError:
        return None, VideoError(f"reading {shown(path)} takes more memory than it may", hint=_HINT)
