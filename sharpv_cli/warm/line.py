"""Commands in line: each with the connection to who typed it, who may press Ctrl-C, or go away, at any time."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Literal

from sharpv_cli.warm import wire

_HEARTBEAT_SEC = 2.0
_INTERRUPTED = 130


class Command:
    """One command as it was typed, and where. Raises WireError for a request that cannot be understood."""

    def __init__(self, connection: socket.socket, message: wire.Message, descriptors: list[int]) -> None:
        self._connection = connection
        self.descriptors: dict[int, int] = {}  # as the command numbers them, and as they are numbered here
        self._lock = threading.RLock()
        self._state: Literal["waiting", "running", "over"] = "waiting"
        self._begun = False
        try:
            if message["protocol"] != wire.PROTOCOL:
                raise wire.WireError("another protocol")
            self.arguments = _texts(message["command"])
            self.folder, self.umask = str(message["folder"]), int(message["umask"])
            self.environment: Mapping[str, str] = _table(message["environment"])
            numbers = [int(text) for text in _texts(message["descriptors"])]
            self.descriptors = dict(zip(numbers, descriptors, strict=True))
            self.streams = [None if one is None else _table(one) for one in _list(message["streams"])]
        except (KeyError, TypeError, ValueError) as error:
            for descriptor in descriptors:
                os.close(descriptor)
            raise wire.WireError(f"not a command: {error}") from error

    @property
    def over(self) -> bool:
        return self._state == "over"

    @contextmanager
    def running(self) -> Iterator[bool]:
        """Whether somebody still waits for it; while the block runs, Ctrl-C reaches the main thread."""
        with self._lock:
            runs = self._state == "waiting"
            if runs:
                self._state = "running"
        try:
            yield runs
        finally:
            with self._lock:
                self._state = "over"

    def begin(self) -> None:
        """From now on it can be run neither here nor there once more: something was printed, or read."""
        if not self._begun:
            self._begun = True
            self._say({"begun": True})

    def end(self, code: int | None) -> None:
        """Tell the exit code; None: whoever asks has to do it itself."""
        self._say({"refused": True} if code is None else {"exit": code})
        self._close()

    def open(self, page: str) -> None:
        """Have who typed it open a page: a browser belongs to their desktop, and may outlive this process."""
        self._say({"open": page})

    def tell_place(self, place: int) -> None:
        """How many are before it; a sign of life as well."""
        self._say({"place": place})

    def interrupt(self) -> None:
        """Ctrl-C: ends the answer, or takes the command out of the line."""
        with self._lock:
            if self._state == "running":
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            elif self._state == "waiting":
                self._state = "over"
                self.end(_INTERRUPTED)

    def drop(self) -> None:
        """Whoever typed it has gone: nothing more of it reaches the streams that it came with."""
        with self._lock:
            if self._state == "running":
                silence()
            self.interrupt()

    def hear(self) -> None:
        """One message from who typed it, if there is one within a moment. Raises WireError where they have gone."""
        if select.select([self._connection], [], [], _HEARTBEAT_SEC)[0]:
            message, _ = wire.receive(self._connection)
            if message.get("interrupt"):
                self.interrupt()

    def _say(self, message: wire.Message) -> None:
        with self._lock, suppress(wire.WireError):
            wire.send(self._connection, message)

    def _close(self) -> None:
        for descriptor in self.descriptors.values():
            os.close(descriptor)
        self.descriptors = {}


def attend(command: Command, place: Callable[[], int]) -> None:
    """Stay with a command until it is over, in a thread of its own."""
    try:
        while not command.over:
            command.tell_place(place())
            command.hear()
    except wire.WireError:
        command.drop()


def silence() -> None:
    """Close what a command came with, in this process: its stdin, stdout and stderr lead nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("a list was expected")
    return value


def _texts(value: object) -> list[str]:
    return [str(one) for one in _list(value)]


def _table(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError("an object was expected")
    return {str(key): str(item) for key, item in value.items()}
