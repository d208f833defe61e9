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
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.local import FilePath
from sharpv_cli.video.sampling import Sampling


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


def compute(path: FilePath) -> None:
    """For a fifth of a second of processor time."""
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass


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


def sampled_with_threads(path: FilePath) -> tuple[int, int, int]:
    """Of eight frames: how many came, the cores planned with, and the most threads that there were, but for ours."""
    seen, done = [0], threading.Event()

    def look() -> None:
        while not done.wait(0.0005):
            seen.append(len([*Path("/proc/self/task").iterdir()]) - 1)

    watching = threading.Thread(target=look)
    watching.start()
    _, sample = sample_frames(path, Sampling(frames=8))
    done.set()
    watching.join()
    return len(sample), cores(), max(seen)


def want(error: str, path: FilePath) -> int:
    """Fail as a machine does that has too little, while it has more than one core to plan with."""
    if cores() > 1:
        exec(error)
    return cores()


def always(error: str, path: FilePath) -> None:
    exec(error)
