"""A command as its own process runs it: with the connection to who typed it, who may press Ctrl-C, or go away."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NoReturn

from sharpv_cli import signals
from sharpv_cli.warm import wire

HEARTBEAT_SEC = 2.0


class Command:
    """One command as it was typed, and where. Raises WireError for a request that cannot be understood."""

    def __init__(self, connection: socket.socket, message: wire.Message, descriptors: list[int]) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self._begun = False
        try:
            if message["protocol"] != wire.PROTOCOL:
                raise wire.WireError("another protocol")
            self.arguments = _texts(message["command"])
            self.folder, self.umask = str(message["folder"]), int(message["umask"])
            self.environment: Mapping[str, str] = _table(message["environment"])
            numbers = [int(text) for text in _texts(message["descriptors"])]
            # As the command numbers them, and as they are numbered here.
            self.descriptors = dict(zip(numbers, descriptors, strict=True))
            self.streams = [None if one is None else _table(one) for one in _list(message["streams"])]
        except (KeyError, TypeError, ValueError) as error:
            raise wire.WireError(f"not a command: {error}") from error

    def begin(self) -> None:
        """From now on it can be run neither here nor there once more: something was printed, or read."""
        if not self._begun:
            self._begun = True
            self._say({"begun": True})

    def end(self, code: int | None) -> None:
        """Tell the exit code; None: whoever asks has to do it itself."""
        self._say({"refused": True} if code is None else {"exit": code})

    def open(self, page: str) -> None:
        """Have who typed it open a page: a browser belongs to their desktop, and may outlive this process."""
        self._say({"open": page})

    def attend(self, place: Callable[[], int]) -> NoReturn:
        """In a thread of its own: tell how many are before it, which is a sign of life as well, and hear of Ctrl-C.

        When whoever typed it has gone, this process goes as well.
        """
        with suppress(wire.WireError):
            while True:
                wire.send(self._connection, {"place": place()})
                if select.select([self._connection], [], [], HEARTBEAT_SEC)[0]:
                    message, _ = wire.receive(self._connection)
                    if message.get("interrupt"):
                        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        signals.run_cleanups()
        os._exit(1)

    def _say(self, message: wire.Message) -> None:
        with self._lock, suppress(wire.WireError):
            wire.send(self._connection, message)


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
