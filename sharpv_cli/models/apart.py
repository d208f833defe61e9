"""What only PyTorch and transformers know, asked of a process of its own: the command's own imports neither.

They are imported there while the command does something else, and an import that crashes or hangs costs the process.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self, TypeVar

from sharpv_cli import garbage, signals
from sharpv_cli.errors import ModelError, ResourceError, SharpvError
from sharpv_cli.models.refusal import import_framework

T = TypeVar("T")

_SEC = 120.0  # a cold disk takes half a minute
_PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from sharpv_cli.models.apart import serve; serve()"
_HINT = "`sharpv doctor` says what is missing"


class Frameworks:
    """The process, which imports them at once. A context manager: it ends with it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError):  # `ask` says that there is none
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,  # Ctrl-C is for the command to decide
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            with self._process:
                self._process.kill()

    def ask(self, function: Callable[..., T], *arguments: object) -> T:
        """`function(*arguments)`, of a module, in the process; once. Raises the SharpvError that it raises.

        Raises ResourceError where there is no process or no answer in time, ModelError where it dies.
        """
        if (process := self._process) is None:
            raise ResourceError("no process could be started that imports PyTorch", hint=_HINT)
        with signals.on_leaving(process.kill):
            try:
                out, said = process.communicate(pickle.dumps((function, arguments)), _SEC)
            except subprocess.TimeoutExpired as error:
                raise ResourceError(
                    f"PyTorch and transformers were not imported within {_SEC:g} s", hint=_HINT
                ) from error
        if process.returncode != 0:
            raise ModelError(f"PyTorch and transformers cannot be used: {_last(said, process.returncode)}")
        answer, refusal = pickle.loads(out)  # of our own process
        if refusal is not None:
            raise refusal
        return answer  # type: ignore[no-any-return]


def _last(said: bytes, code: int) -> str:
    """How the process ended, by its last words."""
    lines = said.decode(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), f"their process ended with {code}")


def serve() -> None:
    """In the process: import, then answer one question. What libraries print does not get into the answer."""
    garbage.put_off()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with suppress(ImportError, OSError, SharpvError):  # whoever needs them says so
        for name in ("torch", "transformers"):
            import_framework(name)
    function, arguments = pickle.load(sys.stdin.buffer)
    with answers:
        pickle.dump(_answered(function, arguments), answers)
    os._exit(0)


def _answered(function: Callable[..., Any], arguments: tuple[object, ...]) -> tuple[Any, SharpvError | None]:
    try:
        return function(*arguments), None
    except SharpvError as error:
        return None, error
