"""Processes for commands, forked from one that has imported what they need, and neither torch nor a model.

Each becomes its command, with the folder, umask, environment and files of whoever typed it; what needs the model it has
the resident process do. So a command may fail, hang or be killed as any other process, and costs nobody but itself.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from sharpv_cli import browser, session, signals, terminal
from sharpv_cli.errors import bug_code
from sharpv_cli.warm import wire
from sharpv_cli.warm.command import Command
from sharpv_cli.warm.surroundings import give_back, take

if TYPE_CHECKING:
    from sharpv_cli.warm.channel import Distant

Run = Callable[[list[str]], int | None]

_ABOVE = 64  # numbers below are for a command's own files
# Imported by commands on their way to an answer.
_MODULES = """
    sharpv_cli.api sharpv_cli.report.document sharpv_cli.report.live_chart sharpv_cli.seen.key sharpv_cli.video.sources
    rich.console rich.live rich.progress rich.theme safetensors
""".split()


class Fronts:
    """The process that forks them; it ends with this one.

    Make it before any library starts threads, which a process that is forked has not: NumPy's does when it is imported.
    """

    def __init__(self, run: Run, prepare: Callable[[], object]) -> None:
        """`prepare` makes ready what every run makes, and is the same for all."""
        self._connection, theirs = socket.socketpair()
        self._lock = threading.Lock()
        with theirs:
            if os.fork() == 0:
                self._connection.close()
                _serve(theirs.detach(), run, prepare)

    def begin(self, message: wire.Message, descriptors: list[int]) -> bool:
        """Fork one for a command; False where the process that forks is gone.

        Its files are the connection to who typed it, that to us, and its own.
        """
        with self._lock, suppress(wire.WireError):
            wire.send(self._connection, message, descriptors)
            return True
        return False


def _serve(number: int, run: Run, prepare: Callable[[], object]) -> NoReturn:
    os.dup2(number, 3)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    _prepare()
    prepare()
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=3) as connection, suppress(wire.WireError):
        while True:
            message, descriptors = wire.receive(connection)
            with suppress(OSError):  # no further process: who typed it has a process that can do it
                if os.fork() == 0:
                    with ExitStack() as stack:
                        stack.callback(os._exit, 1)  # it never comes back to this loop
                        connection.close()
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        _run(message, _aside(message, descriptors), run)
            for descriptor in descriptors:
                os.close(descriptor)
    os._exit(0)


def _prepare() -> None:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy's; this process has an environment of its own
    for module in _MODULES:
        importlib.import_module(module)
    from sharpv_cli.seen.key import software

    software()  # it is the same for all, and remembered


def _aside(message: wire.Message, descriptors: list[int]) -> list[int]:
    """As numbers that the command does not want for its own files."""
    above = max(_ABOVE, *(int(number) + 1 for number in message.get("descriptors", [])))
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    return moved


def _run(message: wire.Message, descriptors: list[int], run: Run) -> NoReturn:
    """In a process that was forked for it: be the command."""
    signals.stand_in_front()
    from sharpv_cli.warm.channel import Distant

    connection, channel, *own = descriptors
    typed = socket.socket(fileno=connection)
    typed.setblocking(True)
    command = Command(typed, message, own)
    model = Distant(Connection(channel))
    session.ask(model)
    threading.Thread(target=command.attend, args=(lambda: model.place,), daemon=True).start()
    code = _code(command, model, run) if take(command) else None
    give_back(command)
    signals.run_cleanups()
    command.end(code)
    os._exit(0)


def _code(command: Command, model: Distant, run: Run) -> int | None:
    """The exit code, also where a bug of ours ends the command, once that is told."""
    code: int | None = bug_code(command.arguments)
    with ExitStack() as stack:
        stack.push(_tell_crash)
        stack.enter_context(browser.shown_by(command.open))
        code = run(command.arguments)
        for news in model.news:
            terminal.say("note", news)
    return code


def _tell_crash(
    kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> bool:
    if kind is not None and error is not None:
        terminal.report_crash(kind, error, trace)
    return True
