"""What a child process of the tests of isolation is asked to do: each in the place of a video reader."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import threading
import time
from pathlib import Path

from sharpv_cli.cores import cores
from sharpv_cli.video.local import FilePath


def crash(path: FilePath) -> None:
    ctypes.string_at(0)


def hang(path: FilePath) -> None:
    time.sleep(60)


def swallow_memory(path: FilePath) -> int:
    return len(bytearray(64 << 30))


def be_wrong(path: FilePath) -> None:
    raise ZeroDivisionError("a bug")


def process_and_torch(path: FilePath) -> tuple[int, bool]:
    return os.getpid(), "torch" in sys.modules


def many_threads(path: FilePath) -> int:
    """As decoders and numeric libraries do on many cores; the addresses that are then in use."""
    together = threading.Barrier(129)
    for _ in range(128):
        threading.Thread(target=_allocate, args=(together,), daemon=True).start()
    together.wait(30)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    together.wait(30)
    return pages * resource.getpagesize()


def _allocate(together: threading.Barrier) -> None:
    kept = bytearray(100_000)  # too small for a mapping of its own, so it comes from an arena of malloc
    together.wait(30)
    together.wait(30)
    assert kept


def cores_and_threads(path: FilePath) -> tuple[int, int]:
    """The cores that it plans with, and the threads that there are."""
    status = Path("/proc/self/status").read_text()
    return cores(), int(status.split("Threads:")[1].split()[0])


def want(error: str, path: FilePath) -> int:
    """Fail as a machine does that has too little, while it has more than one core to plan with."""
    if cores() > 1:
        exec(error)
    return cores()


def always(error: str, path: FilePath) -> None:
    exec(error)
