"""What runs in the process that reads videos: one piece of work after the other, within limits of the kernel."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

from sharpv_cli import cores, shortage
from sharpv_cli.errors import ResourceError, SharpvError, ShortageError, UsageError
from sharpv_cli.units import memory_size
from sharpv_cli.video import wire
from sharpv_cli.video.local import FilePath
from sharpv_cli.video.refusals import shown

GRACE_SEC = 5.0
_END = object()
_STACK_BYTES = 2 << 20  # of each thread; what glibc gives where the limit of the stack is unlimited


def serve(descriptor: int, share: int, memory_bytes: int) -> None:
    """Works until the connection is closed; at most `share` threads are to run at a time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent, which gets it too, decides
    _limit(resource.RLIMIT_DATA, memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    _limit_stacks()
    with suppress(RuntimeError):  # no thread can be had: then what is to be read will say so
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    cores.share(share)
    with Connection(descriptor) as connection, suppress(EOFError, ConnectionError):
        wire.send(connection, "ready")
        _prepare()
        while True:
            _work(connection, *wire.receive(connection))


def _prepare() -> None:
    """Import what reading takes before there is anything to read; what fails now fails again then."""
    with suppress(ImportError, OSError, MemoryError):
        from sharpv_cli.video import decoding, probe  # noqa: F401


def _work(
    connection: Connection,
    path: FilePath,
    work: Callable[[FilePath], Any],
    streams: bool,
    seconds: float,
    folder: str | None,
) -> None:
    """Sends what comes of it, one by one where it `streams`; the alarm does not run while the parent takes it."""
    if folder is not None:
        with suppress(OSError):  # then the name is not found either
            os.chdir(folder)
    doing, began = f"reading {shown(path)}", time.process_time()
    with shortage.Attempt(doing) as attempt:
        with _alarm(seconds):
            items = iter(work(path) if streams else [work(path)])
        while True:
            with _alarm(seconds):
                item = next(items, _END)
            if item is _END:
                break
            wire.send(connection, wire.Answer("item", item))
    os.chdir("/")  # who waits for the next work keeps no folder in use
    error = attempt.error and _judged(attempt.error, doing)
    wire.send(connection, wire.Answer("end", error, time.process_time() - began))


def _end_with(parent: int) -> None:
    """A parent that was killed does not wait for what may take minutes."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _judged(error: SharpvError, doing: str) -> SharpvError:
    """Nothing is blamed on a file while the machine lacks what reading one takes. A bug shows where it is."""
    gone = isinstance(error.__cause__, ConnectionError)  # nobody is left to tell
    if error.__cause__ is not None and error.exit_code == SharpvError.exit_code and not gone:
        traceback.print_exception(error.__cause__)
    if not isinstance(error, (UsageError, ResourceError)) and (what := shortage.missing()):
        return shortage.short(what, doing)
    ours = not shortage.addresses_are_limited() and shortage.has_memory()
    if isinstance(error, ShortageError) and error.what == shortage.MEMORY and ours:
        return too_much(doing, resource.getrlimit(resource.RLIMIT_DATA)[0])
    return error


def too_much(doing: str, limit: int) -> ShortageError:
    """What is told of a video that would take more memory than any may, whatever the machine has."""
    return ShortageError(
        f"{doing} takes more memory than it may ({memory_size(limit)})",
        hint="take fewer frames; a small file that takes so much was made to break readers",
    )


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Ends the process even inside of FFmpeg: for the case that nobody is left to kill it."""
    signal.setitimer(signal.ITIMER_REAL, seconds + GRACE_SEC)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _limit(kind: int, value: int) -> None:
    """No more than was left to us."""
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _limit_stacks() -> None:
    """Stacks count as memory in full, used or not. glibc reads the limit of the shell before we run."""
    with suppress(OSError, AttributeError):
        pthread = ctypes.CDLL(None)
        attributes = ctypes.create_string_buffer(256)
        pthread.pthread_attr_init(attributes)
        pthread.pthread_attr_setstacksize(attributes, ctypes.c_size_t(_STACK_BYTES))
        pthread.pthread_setattr_default_np(attributes)
