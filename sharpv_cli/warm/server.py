"""The resident process: one command after the other, in its main thread, with the command's own surroundings.

It runs the very commands that a process of their own would run; what stays between them is the loaded model. A bug
of ours ends it, once it is told: what it left behind is not trusted.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

from sharpv_cli import browser, session, signals, terminal
from sharpv_cli.errors import bug_code
from sharpv_cli.shelf import PLACES, SHELF
from sharpv_cli.warm import address, wire
from sharpv_cli.warm.keeper import Keeper
from sharpv_cli.warm.line import Command, attend
from sharpv_cli.warm.surroundings import lent_to, may_be_lent_to

_LISTEN = 64
_LOOK_SEC = 10.0  # how often it looks whether its socket is still its own


def serve(path: Path, run: Callable[[list[str]], int | None]) -> None:
    """Serve commands at `path` until nobody has come for as long as the last one said; `run` gives exit codes.

    Returns at once where another process serves there already.
    """
    with address.held(path.with_suffix(".lock")) as alone:
        if not alone:
            return
        os.chdir("/")
        signals.stay()
        SHELF.places = PLACES
        keeper = Keeper()
        session.keep_with(keeper.open)
        with _listening(path) as listener:
            _end_older(path)
            _Server(listener, path, keeper, run).serve()


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """A socket that nobody else may open, in the place of one that a process left behind."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        mask = os.umask(0o177)
        try:
            listener.bind(os.fspath(path))
        finally:
            os.umask(mask)
        listener.listen(_LISTEN)
        own = _inode(path)
        try:
            yield listener
        finally:
            if _inode(path) == own:  # another process may listen there by now
                path.unlink(missing_ok=True)


def _end_older(path: Path) -> None:
    """After an upgrade the process of the older sharpv has nobody left to serve."""
    for other in path.parent.glob("*-*-*.sock"):
        if address.is_older(other, path):
            with (
                suppress(OSError, wire.WireError),
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
            ):
                connection.settimeout(1.0)
                connection.connect(os.fspath(other))
                wire.send(connection, {"protocol": wire.PROTOCOL, "stop": True})


class _Server:
    def __init__(
        self, listener: socket.socket, path: Path, keeper: Keeper, run: Callable[[list[str]], int | None]
    ) -> None:
        self._listener, self._path, self._keeper, self._run = listener, path, keeper, run
        self._identity = _inode(path)
        self._waiting: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._line: list[Command] = []
        self._ends = False

    def serve(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()
        idle_until = time.monotonic() + _LOOK_SEC
        while not self._ends and (self._line or time.monotonic() < idle_until):
            with suppress(queue.Empty):
                command = self._waiting.get(timeout=max(0.0, min(_LOOK_SEC, idle_until - time.monotonic())))
                if command is None:
                    return
                self._serve(command)
                idle_until = time.monotonic() + self._keeper.keep_sec
            SHELF.fit()  # others may want the memory by now
            if _inode(self._path) != self._identity:
                return  # who looks for this process would not find it: its folder was cleaned up

    def _serve(self, command: Command) -> None:
        """Run one command, tell its exit code, and forget all that was its own."""
        code: int | None = bug_code(command.arguments)
        try:
            with command.running() as runs, ExitStack() as lent:
                if runs and not may_be_lent_to(command):
                    code = None
                elif runs:
                    arguments = lent.enter_context(lent_to(command))
                    lent.enter_context(browser.shown_by(command.open))
                    lent.push(_tell_crash)
                    code = self._run(arguments)
                    if news := self._keeper.news():
                        terminal.say("note", news)
        finally:
            self._line.remove(command)
            command.end(code)
        self._keeper.tidy()

    def _accept(self) -> None:
        """One thread a connection: it hears of Ctrl-C and of a caller that has gone."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        with connection, suppress(wire.WireError):
            connection.settimeout(5.0)
            if not wire.peer_is_us(connection):
                return
            message, descriptors = wire.receive(connection)
            if message.get("stop"):
                self._ends = True
                self._waiting.put(None)
                wire.receive(connection)  # who asks waits for this process to end
            elif message.get("status"):
                wire.send(
                    connection, {**self._keeper.status(), "waiting": len(self._line), "process": os.getpid()}
                )
            else:
                command = Command(connection, message, descriptors)
                self._line.append(command)
                self._waiting.put(command)
                attend(command, lambda: self._line.index(command) if command in self._line else 0)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _tell_crash(
    kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> None:
    """A bug of ours, to who typed the command, while its stderr is here; then it goes on to end the process."""
    if kind is not None and error is not None:
        terminal.report_crash(kind, error, trace)
