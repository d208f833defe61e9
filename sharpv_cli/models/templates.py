"""Chat templates are rendered in a process of their own, in bounded time and memory: see `template_child`."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from multiprocessing.connection import Pipe
from typing import Any

from sharpv_cli.errors import ResourceError

CPU_SEC = 2.0  # a usual template takes a thousandth of a second
MEMORY_BYTES = 512 << 20
CHARACTERS = 1_000_000  # more than a question and the text around it have; a tokenizer takes 2 KB for each
_PATIENCE_SEC = 120.0  # for a machine that is too busy to give the child its seconds
_HINT = "free some memory, or let this user have more processes; `sharpv doctor` says what is short"


class TemplateError(Exception):
    """Why a template gives no text: half a sentence."""


def start() -> None:
    """Have the child ready by the time that it is needed; starting it takes half a second beside other work."""
    with _lock:
        _the_child()


def rendered(template: str, turns: Sequence[Mapping[str, Any]], names: Mapping[str, Any]) -> str:
    """`turns` by `template`, with the variables `names` beside them, as transformers renders it.

    Raises TemplateError, and ResourceError where there is no child to render it.
    """
    return _text_of(json.dumps({"template": template, "turns": turns, "names": names}))


@lru_cache(maxsize=16)
def _text_of(request: str) -> str:
    """Kept: a batch asks the same about many clips, and each exchange takes milliseconds beside others."""
    with _lock:
        answer = _answered(request.encode())
    if "error" in answer:
        raise TemplateError(answer["error"])
    return answer["text"]


def _answered(request: bytes) -> dict[str, str]:
    """A child that is left before it has answered would give this answer to the next request: it ends."""
    child, complete = _the_child(), False
    try:
        answer = child.ask(request)
        complete = True
    finally:
        if not complete:
            stop()
    return answer


class _Child:
    """Started in the background; `ask` waits until it is ready."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        limits = (CPU_SEC, MEMORY_BYTES, CHARACTERS)
        # -P: a template's text must not be able to count on modules in the user's folder.
        command = [sys.executable, "-P", "-m", "sharpv_cli.models.template_child", str(theirs.fileno())]
        try:
            self._process = subprocess.Popen(
                [*command, *map(str, limits)],
                pass_fds=[theirs.fileno()],
                env=_environment(),
                cwd="/",  # it keeps no folder in use
                start_new_session=True,  # Ctrl-C is the parent's
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            self._connection.close()
            raise _not_started(str(error)) from error
        finally:
            theirs.close()
        self._ready = False

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: bytes) -> dict[str, str]:
        if not self._ready:
            self._answer()
            self._ready = True
        try:
            self._connection.send_bytes(request)
        except ConnectionError as error:
            raise self._lost() from error
        answer: dict[str, str] = json.loads(self._answer())
        return answer

    def end(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _answer(self) -> bytes:
        if not self._connection.poll(_PATIENCE_SEC):
            self.end()
            raise _not_started(f"it gave no answer within {_PATIENCE_SEC:g} s")
        try:
            return self._connection.recv_bytes()
        except (EOFError, ConnectionError) as error:
            raise self._lost() from error

    def _lost(self) -> Exception:
        code = self._process.wait()
        if not self._ready:
            return _not_started(f"it ended with {code}")
        if code == -signal.SIGPROF:
            return TemplateError(f"it takes longer than {CPU_SEC:g} s for one question")
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
        return TemplateError(f"it brings down the process that renders it ({how})")


_child: _Child | None = None
_lock = threading.Lock()


def _the_child() -> _Child:
    global _child
    if _child is None or not _child.alive:
        stop()
        _child = _Child()
    return _child


@atexit.register
def stop() -> None:
    """End the child; it is started again when it is needed."""
    global _child
    if _child is not None:
        _child.end()
        _child = None


def _forget() -> None:
    """In a fork: the child answers the process that started it."""
    global _child, _lock
    _child, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)


def _environment() -> dict[str, str]:
    """Our own modules wherever they came from, and no threads, which take address space."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _not_started(why: str) -> ResourceError:
    return ResourceError(f"the process that renders chat templates could not be started: {why}", hint=_HINT)
