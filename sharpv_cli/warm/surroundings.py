"""What a command takes from where it was typed, put in the place of this process's own for as long as it runs."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, TextIO

from sharpv_cli.terminal.patient import waiting
from sharpv_cli.warm.line import Command, silence

_NAMES = ("stdin", "stdout", "stderr")


@contextmanager
def lent_to(command: Command) -> Iterator[list[str]]:
    """Its folder, umask, environment, stdin, stdout and stderr; yields its arguments.

    The process has one of each, so one command runs at a time. Raises OSError where the folder cannot be entered.
    """
    environment, mask = dict(os.environ), os.umask(command.umask)
    _open_streams(command)
    further = [number for number in command.descriptors if number > 2]
    for number in further:
        os.dup2(command.descriptors[number], number)
    try:
        _set_environment(command.environment)
        os.chdir(command.folder)
        if "-" in command.arguments or further:
            command.begin()  # what is read from a pipe is gone from it
        yield command.arguments
    finally:
        _close_streams()
        for number in further:
            os.close(number)
        os.chdir("/")
        _set_environment(environment)
        os.umask(mask)


def may_be_lent_to(command: Command) -> bool:
    """Whether its folder can be entered, and the numbers of its files are free here."""
    taken = any(number > 2 and _is_open(number) for number in command.descriptors)
    return os.access(command.folder, os.X_OK) and not taken


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _set_environment(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _open_streams(command: Command) -> None:
    """Their own descriptors, so that a terminal is one here as well."""
    for number, (name, said) in enumerate(zip(_NAMES, command.streams, strict=True)):
        if said is None:
            setattr(sys, name, None)
            continue
        os.dup2(command.descriptors[number], number)
        setattr(sys, name, _stream(number, said, command))


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


def _close_streams() -> None:
    for name in _NAMES:
        stream: IO[str] | None = getattr(sys, name)
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.flush()
    silence()
    sys.stdin = sys.stdout = sys.stderr = open(os.devnull, "r+", encoding="utf-8")  # noqa: PTH123, SIM115
