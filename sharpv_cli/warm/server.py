"""The resident process: it holds the model, and all commands that are there at once are answered by one conveyor.

Each command runs in a process of its own (`fronts`), which has here done what needs the model (`front`): in the main
thread, one piece after the other, between the steps that all answers make together.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import Pipe
from pathlib import Path
from queue import Empty, SimpleQueue

from sharpv_cli import session, signals, terminal
from sharpv_cli.cores import cores
from sharpv_cli.pipeline.aside import Aside, go_on_beside
from sharpv_cli.pipeline.conveyor import Conveyor
from sharpv_cli.shelf import PLACES, SHELF
from sharpv_cli.types import Waiting
from sharpv_cli.video import isolated
from sharpv_cli.warm import address, wire
from sharpv_cli.warm.command import HEARTBEAT_SEC
from sharpv_cli.warm.front import Front, Work
from sharpv_cli.warm.fronts import Fronts
from sharpv_cli.warm.keeper import Keeper

_LISTEN = 64
_LOOK_SEC = 10.0  # how often it looks whether its socket is still its own
_FRONTS = 8  # commands at once, for each core; others wait in line
_READERS = 4  # videos that are read at once; a machine with few cores has two
_LINE_SEC = 0.05
_INTERRUPTED = 130
_VARIABLES = {
    "TQDM_DISABLE": "1",  # nobody sees a bar here
    "HF_HUB_OFFLINE": "1",  # what has to be downloaded is no work for this process
    "TRANSFORMERS_OFFLINE": "1",
}


def serve(path: Path, fronts: Fronts) -> None:
    """Serve commands at `path`, in processes of `fronts`, until nobody has come for as long as the last one said.

    Returns at once where another process serves there already.
    """
    with address.held(path.with_suffix(".lock")) as alone:
        if not alone:
            return
        os.chdir("/")
        os.environ.update(_VARIABLES)
        signals.stay()
        terminal.start_over()
        SHELF.places = PLACES
        keeper = Keeper()
        session.keep_with(keeper)
        with _listening(path) as listener:
            _end_older(path)
            _Server(listener, path, keeper, fronts).serve()


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
    """Drives the conveyor, and is to it what an engine is (`conveyor.Steps`)."""

    most = 1 << 10  # of work; there are never more pieces than commands

    def __init__(self, listener: socket.socket, path: Path, keeper: Keeper, fronts: Fronts) -> None:
        self._listener, self._path, self._keeper, self._fronts = listener, path, keeper, fronts
        self._identity = _inode(path)
        self._line: list[object] = []  # one for each command, in the order in which they came
        self._coming: SimpleQueue[Work | None] = SimpleQueue()
        self._works: list[Work] = []
        self._changed = threading.Event()
        self._idle_until = time.monotonic() + _LOOK_SEC
        self._ends = self._rests = False

    def serve(self) -> None:
        readers = max(2, min(_READERS, cores() // 2))
        isolated.keep_ready(readers)
        isolated.start()
        go_on_beside(Aside(readers, self._changed.set))
        threading.Thread(target=self._accept, daemon=True).start()
        for _ in Conveyor[object](self).told(self._begin):
            raise AssertionError("work tells its own command what there is to tell")

    @property
    def has_room(self) -> bool:
        engine = self._keeper.engine
        return engine is None or engine.has_room

    def step(self) -> None:
        """Where no answer can make one, wait until something else has happened."""
        engine = self._keeper.engine
        if engine is None or not engine.step():
            self._changed.wait(1.0)
        self._changed.clear()

    def _begin(self, wait: bool) -> Generator[Waiting] | None:
        """The next piece of work; where there is no other, it is waited for, and None says that nobody comes."""
        while True:
            with suppress(Empty):
                work = self._coming.get(block=wait, timeout=self._patience())
                if work is not None:
                    return self._watched(work)
                SHELF.fit()  # a command is over
            if not wait or self._is_over():
                return None

    def _watched(self, work: Work) -> Generator[Waiting]:
        yield from work.steps()
        self._works.remove(work)
        self._ends |= work.bug is not None

    def _patience(self) -> float:
        return max(0.0, min(_LOOK_SEC, self._idle_until - time.monotonic())) if self._rests else _LOOK_SEC

    def _is_over(self) -> bool:
        """Whether this process has nobody left to serve; where it only rests, it gives back what it does not need."""
        if self._line:
            return False
        if not self._rests:
            self._rest()
        SHELF.fit()  # others may want the memory by now
        # Who looks for it at another socket would not find it: its folder was cleaned up.
        return self._ends or time.monotonic() >= self._idle_until or _inode(self._path) != self._identity

    def _rest(self) -> None:
        self._rests = True
        if not self._ends:
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
                self._coming.put(None)
                wire.receive(connection)  # who asks waits for this process to end
            elif message.get("status"):
                wire.send(
                    connection, {**self._keeper.status(), "waiting": len(self._line), "process": os.getpid()}
                )
            else:
                self._serve(connection, message, descriptors)

    def _serve(self, connection: socket.socket, message: wire.Message, descriptors: list[int]) -> None:
        """Stay with a command until it is over: its process, and before that its place in line."""
        ticket = object()
        self._line.append(ticket)
        try:
            front = self._front(connection, message, descriptors, ticket)
            if front is not None:
                front.attend(self._take, self._place)
        finally:
            self._line.remove(ticket)
            self._idle_until = time.monotonic() + self._keeper.keep_sec
            self._rests = False
            self._coming.put(None)

    def _front(
        self, connection: socket.socket, message: wire.Message, descriptors: list[int], ticket: object
    ) -> Front | None:
        """Its process, when it is its turn to have one; None for who has gone meanwhile."""
        with connection, ExitStack() as stack:
            for descriptor in descriptors:
                stack.callback(os.close, descriptor)
            if not self._has_turn(connection, ticket) or self._ends:
                return None
            ours, theirs = Pipe()
            with theirs:
                files = [connection.fileno(), theirs.fileno(), *descriptors]
                self._ends |= not self._fronts.begin(message, files)
        place = str(message.get("folder", "/")), int(message.get("umask", 0o77))
        return Front(ours, *place, self._keeper, self._changed.set)

    def _has_turn(self, connection: socket.socket, ticket: object) -> bool:
        """Wait for it; False for who has gone, or pressed Ctrl-C. Raises WireError."""
        told_at = 0.0
        while (place := self._line.index(ticket)) >= _FRONTS * cores():
            if time.monotonic() - told_at >= HEARTBEAT_SEC:
                told_at = time.monotonic()
                wire.send(connection, {"place": place})
            if select.select([connection], [], [], _LINE_SEC)[0] and wire.receive(connection)[0].get(
                "interrupt"
            ):
                wire.send(connection, {"exit": _INTERRUPTED})
                return False
        return True

    def _take(self, work: Work) -> None:
        self._works.append(work)
        self._coming.put(work)
        self._changed.set()

    def _place(self, work: Work) -> int:
        """How many have to be done before that which waits: for room, or for another model to be loaded."""
        works = [one for one in self._works if not one.is_over]
        waits = not work.has_begun or self._keeper.waits(work.front)
        return works.index(work) if waits and work in works else 0


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
