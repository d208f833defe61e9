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
import multiprocessing.util
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

_SUBREAPER = 36  # of prctl(2)
_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
# What the command imports on its way to an answer, but for sharpv_cli.app, which looks at the terminal as it is
# imported, and for what reads variables of the hub. None of it imports torch.
_COMMANDS = """
    sharpv_cli.commands.ask.command sharpv_cli.commands.batch.command sharpv_cli.commands.doctor.command
    sharpv_cli.commands.eval.command sharpv_cli.commands.models.command sharpv_cli.commands.profile.command
    sharpv_cli.commands.check sharpv_cli.commands.demo sharpv_cli.commands.help sharpv_cli.commands.probe
    sharpv_cli.commands.warm sharpv_cli.api sharpv_cli.report.document sharpv_cli.report.export
    sharpv_cli.report.live_chart make_answer rich.live rich.progress typer
""".split()
_MODELS = """
    torch PIL.Image transformers.generation.utils
    transformers.models.llava_onevision.modeling_llava_onevision
    transformers.models.llava_onevision.processing_llava_onevision
    transformers.models.llava_onevision.image_processing_llava_onevision
    transformers.models.llava_onevision.video_processing_llava_onevision
    transformers.models.qwen2.modeling_qwen2 transformers.models.siglip.modeling_siglip
""".split()


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
            surroundings = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
            self._process = subprocess.Popen(command, pass_fds=(number,), env=surroundings)

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


def _spawn(path: bytes, args: Sequence[str], kept: Sequence[int]) -> int:
    """As multiprocessing.util.spawnv_passfds, for the processes of a batch: they have the libraries already as well."""
    code = args[args.index("-c") + 1]
    if "spawn_main" not in code or threading.active_count() > 1:
        return _spawn_anew(path, args, kept)
    if child := os.fork():
        return child
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for above, below in pairwise((2, *sorted(kept), os.sysconf("SC_OPEN_MAX"))):
        os.closerange(above + 1, below)
    sys.argv = ["-c", "--multiprocessing-fork"]
    ended: object = 1
    try:
        exec(code)
    except SystemExit as end:
        ended = end.code
    except BaseException:  # noqa: BLE001 - as at the end of a program
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(ended if isinstance(ended, int) else 1)


_spawn_anew = multiprocessing.util.spawnv_passfds


if __name__ == "__main__":
    for name in (*_COMMANDS, *sys.argv[2:]):
        importlib.import_module(name)
    early = {"torch", "huggingface_hub"} & set(sys.modules)
    assert not early or "torch" in sys.argv, f"imported before it is needed: {early}"
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        task = _serve(asked)
    _become(task)
    multiprocessing.util.spawnv_passfds = _spawn
    sys.modules["__main__"] = importlib.import_module(sys.argv[0])
    sys.modules["__main__"].main()
