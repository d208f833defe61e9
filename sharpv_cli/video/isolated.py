"""Reading videos in a child process: one that crashes, hangs or takes all memory costs its video and nothing else."""

from __future__ import annotations

import atexit
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing, suppress
from multiprocessing import Pipe
from pathlib import Path
from time import monotonic
from typing import Any, Self, TypeVar

from sharpv_cli import shortage, signals
from sharpv_cli.cores import cores
from sharpv_cli.errors import SharpvError, ShortageError, VideoError
from sharpv_cli.video import wire
from sharpv_cli.video.child import GRACE_SEC, too_much
from sharpv_cli.video.local import FilePath, LocalVideo, limits_of
from sharpv_cli.video.patience import too_slow
from sharpv_cli.video.refusals import shown

T = TypeVar("T")

# What a child may have of its own, as the kernel counts it (RLIMIT_DATA): not the addresses that threads and malloc's
# arenas reserve, which are gigabytes where there are many cores. What it really holds is watched beside it. A sample
# of frames may be 4 GiB of it.
MEMORY_BYTES, RESIDENT_BYTES = 6 << 30, 5 << 30
_START_SEC = 60.0
_WATCH_SEC = 0.1
_HINT = "the file is damaged, or was made to break readers; get it again"
# An arena and a thread for each core in each library: unused here, and made anew by each child.
_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from sharpv_cli.video.child import serve; serve(*map(int, sys.argv[2:]))"
)


class IsolatedReader:
    """One child process without torch that reads one video after the other; it is replaced when it is lost.

    For several at a time take several readers, each on a thread of its own, and tell each its `share` of the cores.
    A context manager; the child ends with it, and by itself when its parent is gone. `cpu_sec` is the processor time
    that reading took so far.
    """

    def __init__(self, share: int | None = None) -> None:
        self.cpu_sec = 0.0
        self._share = share or cores()
        self._child: _Child | None = None
        self._at_work: _Child | None = None
        self._abandoned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            _spare.keep(self._child)
            self._child = None

    def prepare(self) -> None:
        """Have the child ready, so that reading takes what it takes; what is in its way `read` tells."""
        if self._abandoned:
            return
        with suppress(SharpvError):
            self._child = self._child or _child(self._share)
            self._child.expect_ready()

    def abandon(self) -> None:
        """For another thread: what is being read is not wanted any more, and its `read` raises VideoError."""
        self._abandoned = True
        if (child := self._at_work) is not None:
            child.kill()

    def read(self, path: FilePath, work: Callable[[FilePath], T]) -> T:
        """`work(path)` in the child, as long as the video's own limit of seconds allows.

        Both are pickled, so `work` is a function of a module, or a functools.partial of one:
        `reader.read(path, partial(sample_frames, sampling=...))`. Raises VideoError when the child
        crashes or runs out of time, ShortageError where the machine has too little, else the SharpvError that
        `work` raises. Any other error is a bug: the child prints its traceback, and it is told as one (exit 1).
        """
        (result,) = self._items(path, work, streams=False)
        return result  # type: ignore[no-any-return]

    def stream(self, path: FilePath, work: Callable[[FilePath], Iterable[T]]) -> Generator[T]:
        """As `read`, but what `work(path)` gives one by one; the child waits until it is taken. Close it."""
        return self._items(path, work, streams=True)

    def _items(self, path: FilePath, work: object, *, streams: bool) -> Generator[Any]:
        """What there is too little of may be enough for a child with one thread."""
        begun = False
        try:
            with closing(self._exchange(path, work, streams)) as items:
                for item in items:
                    begun = True
                    yield item
        except ShortageError as error:
            if begun or self._share == 1 or self._abandoned:
                raise _judged(error) from error
            self._share = 1
            try:
                yield from self._exchange(path, work, streams)
            except _TooMuchError as again:
                raise _judged(again) from again

    def _exchange(self, path: FilePath, work: object, streams: bool) -> Generator[Any]:
        """The child is lost where this is left before its end."""
        self._require_wanted(path)
        child, self._child = self._child or _child(self._share), None
        self._at_work = child
        try:
            self._require_wanted(path)  # once more: who abandons it from now on ends this child
            child.begin(path, work, streams)
            while (answer := child.answer()).kind == "item":
                yield answer.value
            if not isinstance(answer.value, ShortageError):
                self._child = child
        finally:
            self._at_work = None
            if self._child is None:
                child.end()
        self.cpu_sec += answer.cpu_sec
        if answer.value is not None:
            raise answer.value

    def _require_wanted(self, path: FilePath) -> None:
        if self._abandoned:
            raise VideoError(f"reading {shown(path)} was given up")


class _TooMuchError(ShortageError):
    """A video was seen to hold more memory than any may, and the machine had it; with one thread it may hold less."""


def _judged(error: ShortageError) -> SharpvError:
    """What holds too much with one thread, too, is to blame itself."""
    return VideoError(str(error), hint=error.hint) if isinstance(error, _TooMuchError) else error


class _Spare:
    """Idle children for the next readers, one as a rule: a command that reads a video twice starts one."""

    def __init__(self) -> None:
        self.places = 1
        self._children: list[_Child] = []
        self._lock = threading.Lock()
        self._process = os.getpid()

    def keep(self, child: _Child) -> None:
        """Those that were kept for longest end, where there are too many."""
        with self._lock:
            self._children.append(child)
            too_many = self._children[: -self.places]
            del self._children[: -self.places]
        self._end(too_many)

    def take(self, share: int) -> _Child | None:
        with self._lock:
            fitting = (child for child in self._children if child.serves(share))
            child = next(fitting, None) if os.getpid() == self._process else None
            if child is not None:
                self._children.remove(child)
            return child

    def end(self) -> None:
        with self._lock:
            children, self._children = self._children, []
        self._end(children)

    def _end(self, children: list[_Child]) -> None:
        if os.getpid() == self._process:
            for child in children:
                child.end()


_spare = _Spare()


@atexit.register
def end() -> None:
    """Keep no idle child any longer."""
    _spare.end()


def start() -> None:
    """Have a child ready by the time that a reader needs one: it starts beside whatever comes first.

    A command that a process which stays runs for somebody leaves reading to that.
    """
    if not signals.in_front():
        with suppress(ShortageError):  # whoever reads finds out
            _spare.keep(_child(cores()))


def keep_ready(places: int) -> None:
    """From now on so many children wait for the next readers, once they have been there."""
    _spare.places = places


def _child(share: int) -> _Child:
    return _spare.take(share) or _Child(share)


class _Child:
    """The process, and one video after the other that it reads; the first waits until it is ready."""

    def __init__(self, share: int) -> None:
        self._share = share
        self._killed = self._ready = False
        with shortage.Attempt("starting the process that reads videos") as attempt:
            self._start()
        if attempt.error is not None:
            raise attempt.error

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        with ExitStack() as on_failure:
            on_failure.callback(self._connection.close)
            with theirs:
                numbers = (theirs.fileno(), self._share, MEMORY_BYTES)
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path), *map(str, numbers)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL
                    if signals.stays()
                    else None,  # not that of one command among others
                    env={**os.environ, **_ENVIRONMENT},
                    pass_fds=(theirs.fileno(),),
                    process_group=0,  # Ctrl-C is for the parent to decide
                )
            on_failure.pop_all()

    def expect_ready(self) -> None:
        """Raises ShortageError: nothing else keeps Python and its libraries from starting a second time."""
        with suppress(EOFError, ConnectionError):
            if self._ready or (self._connection.poll(_START_SEC) and wire.receive(self._connection)):
                self._ready = True
                return
        raise ShortageError(
            "the process that reads videos could not start",
            hint="close other programs, or raise the limits of this one (`ulimit -a`); what it said is above",
        )

    def serves(self, share: int) -> bool:
        """Whether it was made for such a share, and is there still."""
        return self._share == share and self._process.poll() is None

    def begin(self, path: FilePath, work: object, streams: bool) -> None:
        """Waits for a child that has just been started. Raises ShortageError where it does not come."""
        self.expect_ready()
        self._path, self._seconds = path, limits_of(path).timeout
        self._doing = f"reading {shown(path)}"
        with suppress(ConnectionError):  # `answer` finds out what became of it
            wire.send(self._connection, (path, work, streams, self._seconds, _folder_of(path)))

    def answer(self) -> wire.Answer:
        """The next one. Raises VideoError, ShortageError where the process is lost."""
        with shortage.Attempt(self._doing) as attempt:
            self._watch()
            with suppress(EOFError, ConnectionError):
                return wire.receive(self._connection)  # type: ignore[no-any-return]
            raise self._loss()
        assert attempt.error is not None
        raise attempt.error

    def _watch(self) -> None:
        """Until there is something to receive. The limit is on the seconds that are waited here."""
        deadline = monotonic() + self._seconds
        while not self._connection.poll(_WATCH_SEC):
            if monotonic() > deadline:
                raise too_slow(self._path, "reading")
            if self._resident() > RESIDENT_BYTES:
                raise _TooMuchError(str(told := too_much(self._doing, RESIDENT_BYTES)), hint=told.hint)

    def _resident(self) -> int:
        """Bytes of its own that it holds in memory; 0 where the system does not tell."""
        with suppress(OSError):
            _, resident, shared, *_ = Path(f"/proc/{self._process.pid}/statm").read_text().split()
            return (int(resident) - int(shared)) * resource.getpagesize()
        return 0

    def _loss(self) -> SharpvError:
        self._process.wait(GRACE_SEC)
        code = self._process.returncode
        if self._killed:
            return VideoError(f"{self._doing} was given up")
        if code == -signal.SIGALRM:
            return too_slow(self._path, "reading")
        if code == -signal.SIGKILL:
            return ShortageError(
                f"{self._doing}: its process was killed, as the system does when memory runs out",
                hint="close other programs, or give the container more memory",
            )
        if what := shortage.tight():
            return shortage.short(what, self._doing)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return VideoError(f"{self._doing} crashed ({how})", hint=_HINT)

    def kill(self) -> None:
        """Whoever waits for it finds out; it may be gone already."""
        self._killed = True
        self._process.kill()

    def end(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()


def _folder_of(path: FilePath) -> str | None:
    """The working folder, from which relative names go on: that of whoever named the video, where it is known."""
    if isinstance(path, LocalVideo) and path.folder is not None:
        return path.folder
    with suppress(FileNotFoundError):
        return os.getcwd()  # noqa: PTH109 - pathlib says no more
    return None
