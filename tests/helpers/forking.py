"""`sharpv` in processes that are forked from one that has imported most of it: a fraction of a second each.

Each is a process like any other, with its own output, signals and exit code. What is not seen is what Python and the
libraries read and do as they start; `run_cli.started` starts those anew where a variable asks for it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

_SUBREAPER = 36  # of prctl(2)
_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
# All but sharpv_cli.app, which looks at the terminal as it is imported. None of it imports torch.
_COMMANDS = (
    *(
        f"sharpv_cli.commands.{name}.command"
        for name in ("ask", "batch", "doctor", "eval", "models", "profile")
    ),
    *(f"sharpv_cli.commands.{name}" for name in ("check", "demo", "help", "probe", "warm")),
    *("rich.console", "rich.table", "typer", "yaml"),
)
_FAMILY = "transformers.models.llava_onevision"
_MODELS = (
    *(
        "torch",
        "transformers.generation.utils",
        "PIL.Image",
        "rich.progress",
        f"{_FAMILY}.modeling_llava_onevision",
    ),
    *(f"{_FAMILY}.{kind}_llava_onevision" for kind in ("processing", "image_processing", "video_processing")),
    *(f"transformers.models.{name}.modeling_{name}" for name in ("qwen2", "siglip")),
)


class Forked(subprocess.Popen[Any]):
    """As Popen, of a process that runs `main()` of the module `args[0]` with the arguments that follow.

    It has torch and what the built-in model needs of transformers where the module is sharpv's own.
    """

    def _execute_child(self, *given: Any) -> None:
        theirs = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]
        its = theirs.bind(self, *given).arguments
        files = [
            own if its[pipe] == -1 else its[pipe]
            for own, pipe in enumerate(("p2cread", "c2pwrite", "errwrite"))
        ]
        task = {"args": its["args"], "folder": str(its["cwd"]), "environment": its["env"]}
        try:
            self.pid = _source(task["args"][0] == "sharpv_cli.__main__").fork(task, files)
        finally:
            self._close_pipe_fds(*(its[name] for name in _PIPES))  # type: ignore[attr-defined]
        self._child_created = True


class _Source:
    """The process that has imported it all, and what it is asked through."""

    def __init__(self, with_models: bool) -> None:
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)  # what it forks becomes ours, to be waited for
        self._socket, theirs = socket.socketpair()
        self._lock = threading.Lock()
        with theirs:
            number = theirs.fileno()
            command = [sys.executable, __file__, str(number), *(_MODELS if with_models else ())]
            self._process = subprocess.Popen(command, pass_fds=(number,))

    def fork(self, task: dict[str, Any], files: Sequence[int]) -> int:
        content = json.dumps(task).encode()
        with self._lock:
            socket.send_fds(self._socket, [len(content).to_bytes(4, "big")], files)
            self._socket.sendall(content)
            return int.from_bytes(_exactly(self._socket, 4), "big")


_source = cache(_Source)


def _exactly(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        more = connection.recv(size - len(content))
        if not more:
            raise EOFError
        content += more
    return content


def _serve(connection: socket.socket) -> dict[str, Any]:
    """Ends with whoever asks; comes back with the task in a process that was made for one."""
    while True:
        size, files, _, _ = socket.recv_fds(connection, 4, 3)
        if not size:
            os._exit(0)
        task = json.loads(_exactly(connection, int.from_bytes(size, "big")))
        ours, theirs = os.pipe()
        between = os.fork()
        if between == 0:
            if child := os.fork():
                os.write(theirs, child.to_bytes(4, "big"))
                os._exit(0)
            for number in (ours, theirs, connection.detach()):
                os.close(number)
            return {**task, "files": files}
        os.waitpid(between, 0)  # from now on the child has a parent that waits for it
        connection.sendall(os.read(ours, 4))
        for number in (ours, theirs, *files):
            os.close(number)


def _become(task: dict[str, Any]) -> None:
    """What Python does as it starts."""
    for number, file in enumerate(task["files"]):
        os.dup2(file, number)
        os.close(file)
    os.chdir(task["folder"])
    os.environ.clear()
    os.environ.update(task["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    for name, number, errors in (("stdout", 1, "strict"), ("stderr", 2, "backslashreplace")):
        stream = open(number, "w", encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
        stream.reconfigure(line_buffering=name == "stderr" or stream.isatty())
        setattr(sys, name, stream)
    sys.argv = task["args"]
    if sys.argv[0] == "sharpv_cli.__main__":
        sys.path[0] = task["folder"]  # as with -m


if __name__ == "__main__":
    for name in (*_COMMANDS, *sys.argv[2:]):
        importlib.import_module(name)
    assert ("torch" in sys.modules) == ("torch" in sys.argv), "a command imports torch before it needs it"
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        task = _serve(asked)
    _become(task)
    sys.modules["__main__"] = importlib.import_module(sys.argv[0])
    sys.modules["__main__"].main()
