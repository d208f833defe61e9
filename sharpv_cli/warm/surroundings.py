"""What a command takes from where it was typed: a process that was forked for it has them in the place of its own."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, TextIO

from sharpv_cli.terminal.patient import waiting
from sharpv_cli.warm.command import Command

_NAMES = ("stdin", "stdout", "stderr")


def take(command: Command) -> bool:
    """Have its folder, umask, environment, stdin, stdout and stderr; False where its folder cannot be entered."""
    try:
        os.chdir(command.folder)
    except OSError:
        return False
    silence()
    for number, own in command.descriptors.items():
        os.dup2(own, number)
        os.close(own)
    for number, (name, said) in enumerate(zip(_NAMES, command.streams, strict=True)):
        setattr(sys, name, None if said is None else _stream(number, said, command))
    os.umask(command.umask)
    os.environ.clear()
    os.environ.update(command.environment)
    if "-" in command.arguments or max(command.descriptors, default=0) > 2:
        command.begin()  # what is read from a pipe is gone from it
    return True


def give_back(command: Command) -> None:
    """Keep nothing that somebody waits for: a pipe ends when all who hold it have let go, a folder can be unmounted."""
    for name in _NAMES:
        stream: IO[str] | None = getattr(sys, name)
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.flush()
    silence()
    for number in command.descriptors:
        if number > 2:
            os.close(number)
    os.chdir("/")


def silence() -> None:
    """From now on stdin, stdout and stderr lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _stream(number: int, said: Mapping[str, str], command: Command) -> TextIO:
    """As the interpreter makes them at its start."""
    encoding, errors = said["encoding"], said["errors"]
    if number == 0:
        return io.TextIOWrapper(io.BufferedReader(_Stdin(command)), encoding, errors)
    raw = _Stdout(command) if number == 1 else io.FileIO(2, "w", closefd=False)
    return waiting(raw, encoding, errors, line_buffering=number == 2 or raw.isatty())


class _Stdin(io.FileIO):
    """Tells before its first byte is taken, which is gone then, that this command can be run nowhere else any more."""

    def __init__(self, command: Command) -> None:
        super().__init__(0, closefd=False)
        self._command = command

    def readinto(self, buffer: bytearray | memoryview) -> int | None:  # type: ignore[override]
        self._command.begin()
        return super().readinto(buffer)


class _Stdout(io.FileIO):
    """Tells, before its first byte goes out, that this command can be run nowhere else any more."""

    def __init__(self, command: Command) -> None:
        super().__init__(1, "w", closefd=False)
        self._command = command

    def write(self, data: bytes | memoryview) -> int | None:  # type: ignore[override]
        self._command.begin()
        return super().write(data)
