"""What a child process of the tests of isolation is asked to do: each in the place of a video reader."""

from __future__ import annotations

import ctypes
import os
import sys
import time

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
