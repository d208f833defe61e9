"""A command's side: hand it to the resident process, starting one where there is none, or do the work here after all.

Every `sharpv ask` begins here, so this imports nothing but small parts of the standard library.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from sharpv_cli import browser, signals
from sharpv_cli.errors import UsageError
from sharpv_cli.folders import user_folder
from sharpv_cli.units import memory_size, seconds_of
from sharpv_cli.warm import address, wire

# In jobs that end as a whole, nothing that stays is wanted unless it is asked for.
_JOBS = ("CI", "SLURM_JOB_ID", "PBS_JOBID")
_START_SEC = 10.0  # for a process to be there and listening; what takes long comes after
_ANSWER_SEC = 5.0  # for it to say that it has taken the command
_SILENT_SEC = 30.0  # it says something every two seconds, whatever it does
_LEAVE_SEC = 2.0  # from Ctrl-C to the end of the answer where none has begun
_POLL_SEC = 0.02
_SHOW_CURSOR = b"\r\x1b[2K\x1b[?25h"


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int | None:
    """The exit code of the command, run by the resident process; None where it has to be run here."""
    if not wanted(arguments, environ):
        return None
    path = address.socket_path(environ)
    connection = None if path is None else connect(path) or start(path)
    if connection is None:
        return None
    with connection:
        return _Command(connection).run(list(arguments))


@dataclass(frozen=True, slots=True)
class Status:
    """What a resident process says of itself: bytes of its memory, on the host and on a
    device with a memory of its own, clips that it holds, seconds, commands in line, and how many answers at most it has
    decoded `together`.

    `model`, `device` and `dtype` are None before a model was loaded, `keep_sec` where it stays for ever.
    """

    model: str | None
    device: str | None
    dtype: str | None
    memory_bytes: int
    device_bytes: int
    clips: int
    idle_sec: float
    keep_sec: float | None
    waiting: int
    together: int
    process: int


def status(path: Path) -> Status | None:
    """What the process at `path` says of itself; None where there is none, or it does not answer."""
    connection = connect(path)
    if connection is None:
        return None
    with connection, suppress(wire.WireError):
        wire.send(connection, {"status": True})
        return Status(**wire.receive(connection)[0])
    return None


def neighbour() -> str | None:
    """Of what a process of its own may do where memory does not hold both; None where there is no resident process."""
    path = None if signals.stays() else address.socket_path(os.environ)
    found = None if path is None else status(path)
    if found is None or found.model is None:
        return None
    held = memory_size(found.memory_bytes + found.device_bytes)
    return f"`sharpv warm stop` ends process {found.process}, which keeps {found.model} loaded ({held})"


def stop(path: Path) -> bool:
    """Ask the process at `path` to end when it has finished its command; whether there is one."""
    connection = connect(path)
    if connection is None:
        return False
    with connection, suppress(wire.WireError):
        wire.send(connection, {"stop": True})
        connection.settimeout(None)
        wire.receive(connection)  # until it ends, and its connections with it
    return True


def wanted(arguments: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether a resident process may be used and started, as far as that can be told without reading settings.

    Settings files are read in full only where one of them speaks of it; what is wrong with them is told later.
    """
    if not hasattr(socket, "AF_UNIX") or "-h" in arguments or "--help" in arguments:
        return False
    given = (
        _flag(arguments, "--keep-warm") or environ.get("SHARPV_KEEP_WARM") or _of_files(arguments, environ)
    )
    if given is None:
        return not any(environ.get(name) for name in _JOBS)
    try:
        return seconds_of(given) > 0
    except ValueError:
        return False  # refused where settings are read


def connect(path: Path) -> socket.socket | None:
    """A connection to the process at `path`, None where there is none or it is not ours."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_ANSWER_SEC)
    try:
        connection.connect(os.fspath(path))
    except OSError:
        connection.close()
        return None
    if wire.peer_is_us(connection):
        return connection
    connection.close()
    return None


def start(path: Path) -> socket.socket | None:
    """Start a resident process, or wait for the one that another command has just started; None where none comes."""
    with (
        suppress(OSError),  # a full disk, no further process
        address.held(path.with_suffix(".start")) as first,  # of many commands at once, one starts it
    ):
        begun = _detached(path) if first else None
        until = time.monotonic() + _START_SEC
        while time.monotonic() < until:
            if connection := connect(path):
                return connection
            if begun is not None and begun.poll() is not None:
                return connect(path)  # it found another one there, or could not listen
            time.sleep(_POLL_SEC)
    return None


def _detached(path: Path) -> subprocess.Popen[bytes]:
    """A session of its own and none of our files: whoever waits for the end of our output does not wait for it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    log = os.open(path.with_suffix(".log"), flags, 0o600)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "sharpv_cli", "--resident", os.fspath(path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=Path(__file__).parent.parent.parent,  # where `-m` finds the package that we are of
            start_new_session=True,
        )
    finally:
        os.close(log)


def _place(count: int) -> str:
    return "another command is" if count == 1 else f"{count} other commands are"


class _Command:
    """One command while the resident process runs it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._begun = False  # something was printed, or read from stdin: it cannot be done once more
        self._leave_at = float("inf")
        self._place = 0
        self._page: str | None = None
        self._quiet = False

    def run(self, arguments: list[str]) -> int | None:
        """The exit code, None where nothing has happened yet and nothing will."""
        self._quiet = "--quiet" in arguments or sys.stderr is None
        with self._interrupts_passed_on():
            try:
                numbers = _descriptors(arguments)
                wire.send(self._connection, {"command": arguments, **_surroundings(numbers)}, numbers)
                return self._follow()
            except FileNotFoundError:  # the working folder was deleted: told where the work is done
                return None
            except wire.WireError:
                return self._lost()

    def _follow(self) -> int | None:
        heard = time.monotonic()
        while time.monotonic() - heard < _SILENT_SEC:
            if time.monotonic() > self._leave_at:
                self._leave()
            if not select.select([self._connection], [], [], 0.1)[0]:
                continue
            message, _ = wire.receive(self._connection)
            heard = time.monotonic()
            if "exit" in message:
                if self._page is not None:
                    browser.show(Path(self._page))
                return int(message["exit"])
            if "refused" in message:
                return None
            self._hear(message)
        return self._lost()

    def _hear(self, message: wire.Message) -> None:
        self._begun |= bool(message.get("begun"))
        self._page = message.get("open", self._page)
        place = int(message.get("place", 0))
        if place not in (0, self._place) and not self._quiet:
            sys.stderr.write(f"note: {_place(place)} before this one\n")
        self._place = place

    def _lost(self) -> int | None:
        """It died, hangs, or speaks another protocol."""
        if not self._begun:
            return None
        sys.stderr.write(
            "error: the resident process ended in the middle of this command\n"
            "hint: run it again; `--keep-warm 0` does without the process\n"
        )
        return 5

    @contextmanager
    def _interrupts_passed_on(self) -> Iterator[None]:
        before = signal.getsignal(signal.SIGINT)
        if before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """Ctrl-C ends this answer and not the process; a second one, or none that heeds it, ends us all the same."""
        if self._leave_at < float("inf"):
            self._leave()
        self._leave_at = time.monotonic() + _LEAVE_SEC
        with suppress(wire.WireError):
            wire.send(self._connection, {"interrupt": True})

    def _leave(self) -> NoReturn:
        with suppress(OSError):
            if os.isatty(2):
                os.write(2, _SHOW_CURSOR)
        os._exit(128 + signal.SIGINT)


def _surroundings(descriptors: list[int]) -> wire.Message:
    """What a process takes from where it is started."""
    mask = os.umask(0o077)
    os.umask(mask)
    return {
        "protocol": wire.PROTOCOL,
        "folder": os.getcwd(),  # noqa: PTH109 - pathlib says no more
        "environment": dict(os.environ),
        "umask": mask,
        "descriptors": descriptors,
        "streams": [
            None if stream is None else {"encoding": stream.encoding, "errors": stream.errors}
            for stream in (sys.stdin, sys.stdout, sys.stderr)
        ],
    }


def _descriptors(arguments: Sequence[str]) -> list[int]:
    """Those of stdin, stdout and stderr where our caller left them open, and those that are given as `<(command)`."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    own = [number for number, stream in enumerate(streams) if stream is not None]
    named = (re.search(r"^/(?:dev|proc/self)/fd/(\d+)$", argument) for argument in arguments)
    further = sorted({int(found[1]) for found in named if found} - {0, 1, 2})
    return (own + further)[: wire.MOST_DESCRIPTORS]


def _flag(arguments: Sequence[str], name: str) -> str | None:
    """The value of an option as it is given last, None where it is not."""
    value = None
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument == "--":
            break
        if argument == name:
            value = following
        elif argument.startswith(f"{name}="):
            value = argument.partition("=")[2]
    return value


def _of_files(arguments: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """`keep_warm` of the config file or the profile, None where neither has it."""
    profile = _flag(arguments, "--profile") or _flag(arguments, "-p")
    if not any(_mentions(path) for path in _settings_files(profile, environ)):
        return None
    from sharpv_cli.settings import resolve

    try:
        resolved = resolve({}, environ, profile=profile)
    except UsageError:
        return None
    return resolved.settings.keep_warm if resolved.origins["keep_warm"] != "default" else None


def _settings_files(profile: str | None, environ: Mapping[str, str]) -> Iterator[Path]:
    named = profile or environ.get("SHARPV_PROFILE", "")
    if "/" in named or named.endswith((".yaml", ".yml")):
        yield Path(named)
    if folder := user_folder("config", environ):
        yield folder / "config.yaml"
        with suppress(OSError):
            yield from (folder / "profiles").glob("*.yaml")


def _mentions(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode) and b"keep_warm" in path.read_bytes()[: 1 << 20]
    except OSError:
        return False
