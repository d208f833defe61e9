"""Whose fault an error is: want of a resource of the machine (memory, threads, files) is decided here and nowhere else.

Under want of memory or threads libraries say anything: that a file is damaged, that a codec is unknown. So before
a file is blamed, `missing` tries whether the machine has what reading one takes.
"""

from __future__ import annotations

import errno
import mmap
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from types import TracebackType

from sharpv_cli.cores import cores
from sharpv_cli.errors import SharpvError, ShortageError, VideoError, unforeseen
from sharpv_cli.units import memory_size

MEMORY, THREADS, FILES = "memory", "threads or processes", "open files"
# These are never a file's doing. ENOMEM may be: FFmpeg says it of a size in a header that no machine has.
_CODES = {errno.EAGAIN: THREADS, errno.EMFILE: FILES, errno.ENFILE: FILES}
# As Python, PyTorch, C++, OpenMP and the dynamic loader say it.
_WORDS = {
    "can't start new thread": THREADS,
    "Resource temporarily unavailable": THREADS,
    "ThreadPoolBuildError": THREADS,
    "Too many open files": FILES,
    "DefaultCPUAllocator": MEMORY,
    "bad_alloc": MEMORY,
    "annot allocate memory": MEMORY,
    "failed to map segment": MEMORY,
}
_SPARE_BYTES, _SPARE_THREADS, _SPARE_FILES = 512 << 20, 4, 16
_THREADS_OF = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
_HINT = "close other programs, or raise the limit of this process"
_RAISED_BY = {MEMORY: "`ulimit -v`, the container", THREADS: "`ulimit -u`", FILES: "`ulimit -n`"}

neighbours: list[Callable[[], str | None]] = []
"""Each tells, where memory is short, which other process of ours holds some and how to end it; `app` knows them."""


def told(error: BaseException, doing: str) -> SharpvError:
    """The error as one that a user is told: ShortageError, or its own kind, or a bug of ours."""
    if isinstance(error, ShortageError):
        return error
    if (what := lack(error)) is not None:
        return short(what, doing)
    if isinstance(error, SharpvError):
        return error
    bug = unforeseen(error)
    bug.__cause__ = error
    return bug


def lack(error: BaseException) -> str | None:
    """What this error, or one that led to it, says that there is too little of."""
    for one in _chain(error):
        if what := _lack(one):
            return what
    return None


def short(what: str, doing: str = "") -> ShortageError:
    """What is told of a piece of work (`reading clip.mp4`) that needs more of `what` than there is."""
    return ShortageError(
        f"{doing}: not enough {what}{_amount(what)}".removeprefix(": "),
        hint=f"{_HINT} ({_RAISED_BY[what]}), and run it again",
        what=what,
    )


def missing() -> str | None:
    """What this process cannot get now of what reading a video takes; None where it has room."""
    for what, has_room in ((MEMORY, has_memory), (THREADS, has_threads), (FILES, _has_files)):
        if not has_room():
            return what
    return None


def make_do_with_one_thread() -> None:
    """Before libraries start a thread a core: where there are not so many, OpenMP exits and OpenBLAS sends SIGINT."""
    if not has_threads(cores()):
        os.environ.update(dict.fromkeys(_THREADS_OF, "1"))


def has_memory() -> bool:
    try:
        mmap.mmap(-1, _SPARE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return False
    return True


def addresses_are_limited() -> bool:
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def tight() -> str | None:
    """What a process that crashed may have been refused: libraries do not look at each answer of the system."""
    if addresses_are_limited():
        return MEMORY
    for kind, what, plenty in ((resource.RLIMIT_NPROC, THREADS, 1024), (resource.RLIMIT_NOFILE, FILES, 128)):
        if 0 <= resource.getrlimit(kind)[0] < plenty:
            return what
    return missing()


class Attempt:
    """A `with` block whose failure costs itself alone: `error` is what a user is told of it.

    Ctrl-C and the like go through.
    """

    def __init__(self, doing: str) -> None:
        self.error: SharpvError | None = None
        self._doing = doing

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self.error = told(error, self._doing)
        return True


def _chain(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__


def _lack(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.errno in _CODES:
        return _CODES[error.errno]
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return None if type(error).__module__.startswith("av.") and has_memory() else MEMORY
    # Of a video FFmpeg says such words, too, where sizes in it are absurd.
    if not isinstance(error, VideoError) and not type(error).__module__.startswith("av."):
        return next((what for words, what in _WORDS.items() if words in str(error)), None)
    return None


def has_threads(count: int = _SPARE_THREADS) -> bool:
    """Whether so many more can be started at a time."""
    ended = threading.Event()
    with ExitStack() as on_leaving:
        for _ in range(count):
            thread = threading.Thread(target=ended.wait, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                ended.set()
                return False
            on_leaving.callback(thread.join)
        ended.set()
    return True


def _has_files() -> bool:
    with ExitStack() as on_leaving:
        for _ in range(_SPARE_FILES):
            try:
                on_leaving.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            except OSError:
                return False
    return True


def _amount(what: str) -> str:
    """How much there is, where that can be told."""
    with suppress(OSError, ValueError, KeyError):
        return _AMOUNTS[what]()
    return ""


def _memory() -> str:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        return f" (addresses are limited to {memory_size(limit)})"
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f" ({memory_size(pages)} are free)"


def _limit(kind: int) -> str:
    limit = resource.getrlimit(kind)[0]
    return "" if limit == resource.RLIM_INFINITY else f" (at most {limit})"


_AMOUNTS: dict[str, Callable[[], str]] = {
    MEMORY: _memory,
    THREADS: lambda: _limit(resource.RLIMIT_NPROC),
    FILES: lambda: _limit(resource.RLIMIT_NOFILE),
}
