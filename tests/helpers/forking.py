"""`sharpv` in processes that are forked from one that has imported most of it: a fraction of a second each.

Each is a process like any other, with its own output, signals and exit code, and so are the children that it has. What
is not seen is what Python and the libraries read and do as they start; `run_cli.started` starts those anew where a
variable asks for it.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import importlib
import inspect
import json
import multiprocessing.util
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

_NAME, _SUBREAPER = 15, 36  # of prctl(2)
_COPY = b"a copy"  # the name of processes that children come from
_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
_MOST_FILES = 8
_ASIDE = 64  # a number above those of files that are passed on
_READER, _TEMPLATES = "sharpv_cli.video.child", "sharpv_cli.models.template_child"
# What the command imports on its way to an answer, but for sharpv_cli.app, which looks at the terminal as it is
# imported, and for what reads variables of the hub. None of it imports torch.
_COMMANDS = """
    sharpv_cli.commands.ask.command sharpv_cli.commands.batch.command sharpv_cli.commands.doctor.command
    sharpv_cli.commands.eval.command sharpv_cli.commands.models.command sharpv_cli.commands.profile.command
    sharpv_cli.commands.check sharpv_cli.commands.demo sharpv_cli.commands.help sharpv_cli.commands.probe
    sharpv_cli.commands.warm sharpv_cli.api sharpv_cli.report.document sharpv_cli.report.export
    sharpv_cli.report.live_chart sharpv_cli.video.decoding sharpv_cli.video.probe make_answer rich.live rich.progress
    typer
""".split()
_MODELS = """
    torch PIL.Image transformers.generation.utils sharpv_cli.models.template_child
    transformers.models.llava_onevision.modeling_llava_onevision
    transformers.models.llava_onevision.processing_llava_onevision
    transformers.models.llava_onevision.image_processing_llava_onevision
    transformers.models.llava_onevision.video_processing_llava_onevision
    transformers.models.qwen2.modeling_qwen2 transformers.models.siglip.modeling_siglip
""".split()


class Forked(subprocess.Popen[Any]):
    """As Popen, of a process that runs `main()` of the module `args[0]` with the arguments that follow.

    It has torch and what the built-in model needs of transformers, but for the scripted `sharpv`, which needs neither.
    """

    def _execute_child(self, *given: Any) -> None:
        its = inspect.signature(_execute_anew).bind(self, *given).arguments
        folder, environment = its["cwd"] or Path.cwd(), dict(os.environ if its["env"] is None else its["env"])
        task = {"args": its["args"], "folder": str(folder), "environment": environment}
        _reap_copies()
        _started_by(_source(its["args"][0] != "run_cli").fork, self, its, task)


_execute_anew = subprocess.Popen._execute_child  # type: ignore[attr-defined]


class ForkedIfSharpv(Forked):
    """In the place of Popen for what starts `python -m sharpv_cli` among other processes: only the others are anew."""

    def __init__(self, args: Any, *more: Any, **options: Any) -> None:
        self._is_ours = list(args[:3]) == [sys.executable, "-m", "sharpv_cli"]
        super().__init__(["sharpv_cli.__main__", *args[3:]] if self._is_ours else args, *more, **options)

    def _execute_child(self, *given: Any) -> None:
        if self._is_ours:
            super()._execute_child(*given)
        else:
            _execute_anew(self, *given)


def _started_by(
    fork: Callable[[dict[str, Any], Sequence[int]], int],
    process: subprocess.Popen[Any],
    its: Mapping[str, Any],
    task: dict[str, Any],
) -> None:
    """What `_execute_child` does, by a process that forks."""
    files = [
        own if its[pipe] == -1 else its[pipe] for own, pipe in enumerate(("p2cread", "c2pwrite", "errwrite"))
    ]
    try:
        process.pid = fork(task, [*files, *its["pass_fds"]])
    finally:
        process._close_pipe_fds(*(its[name] for name in _PIPES))  # type: ignore[attr-defined]
    process._child_created = True  # type: ignore[attr-defined]


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
        with self._lock:
            _send(self._socket, task, files)
            return int.from_bytes(_exactly(self._socket, 4), "big")


_source = cache(_Source)


def _reap_copies() -> None:
    """Those whose commands are gone: nobody else waits for them."""
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # another thread was quicker
            for child in (task / "children").read_text().split():
                name, _, rest = Path(f"/proc/{child}/stat").read_text().rpartition(")")
                if name.endswith(f"({_COPY.decode()}") and rest.split()[0] == "Z":
                    os.waitpid(int(child), 0)


def _send(connection: socket.socket, task: dict[str, Any], files: Sequence[int]) -> None:
    content = json.dumps(task).encode()
    socket.send_fds(connection, [len(content).to_bytes(4, "big")], files)
    connection.sendall(content)


def _received(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Ends this process where whoever asks is gone."""
    size, files, _, _ = socket.recv_fds(connection, 4, _MOST_FILES)
    if not size:
        os._exit(0)
    return json.loads(_exactly(connection, int.from_bytes(size, "big"))), files


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
        task, files = _received(connection)
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
    _close_all_but(kept)
    sys.argv = ["-c", "--multiprocessing-fork"]
    _fork_children()
    return _end_with(lambda: exec(code))


_spawn_anew = multiprocessing.util.spawnv_passfds


def _fork_children() -> None:
    """Fork what will read videos and what will render templates, while this process has one thread.

    Each waits for being started, once; one more is started anew.
    """
    waiting = {kind: _waiting() for kind in (_READER, _TEMPLATES)}

    def execute_child(self: subprocess.Popen[Any], *given: Any) -> None:
        its = inspect.signature(_execute_anew).bind(self, *given).arguments
        kind = next((kind for kind in waiting if any(kind in str(word) for word in its["args"])), None)
        if kind is None:
            _execute_anew(self, *given)
            return
        child, connection = waiting.pop(kind)
        names = ("args", "pass_fds", "cwd", "env", "start_new_session", "process_group")

        def begin(task: dict[str, Any], files: Sequence[int]) -> int:
            with connection:
                _send(connection, task, files)
            return child

        _started_by(begin, self, its, {name: its[name] for name in names})

    subprocess.Popen._execute_child = execute_child  # type: ignore[attr-defined]


def _waiting() -> tuple[int, socket.socket]:
    """A copy of this process, and what it is told through what to be; it ends with us where it is never told."""
    ours, theirs = socket.socketpair()
    if child := os.fork():
        theirs.close()
        return child, ours
    ctypes.CDLL(None).prctl(_NAME, _COPY, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)  # nobody waits for the end of what it does not write
    _close_all_but([theirs.fileno()])
    return _be_child(*_received(theirs))


def _be_child(task: dict[str, Any], files: Sequence[int]) -> NoReturn:
    """In a process that was forked for it; the files beyond the first three keep their numbers."""
    kept = dict(zip((0, 1, 2, *task["pass_fds"]), files, strict=True))
    aside = {number: fcntl.fcntl(file, fcntl.F_DUPFD, _ASIDE) for number, file in kept.items()}
    for number, file in aside.items():
        os.dup2(file, number)
    _close_all_but(task["pass_fds"])
    if task["cwd"] is not None:
        os.chdir(task["cwd"])
    if task["start_new_session"]:
        os.setsid()
    if task["process_group"] >= 0:
        os.setpgid(0, task["process_group"])
    if task["env"] is not None:
        os.environ.clear()
        os.environ.update(task["env"])
    _, _, way, what, *sys.argv[1:] = task["args"]  # python -P
    _end_with(lambda: exec(what, {}) if way == "-c" else runpy.run_module(what, run_name="__main__"))


def _close_all_but(kept: Sequence[int]) -> None:
    """Above stderr."""
    for above, below in pairwise((2, *sorted(kept), os.sysconf("SC_OPEN_MAX"))):
        os.closerange(above + 1, below)


def _end_with(program: Callable[[], object]) -> NoReturn:
    """As an interpreter that was started for it would."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ended: object = 1
    try:
        program()
        ended = 0
    except SystemExit as end:
        ended = end.code
    except BaseException:  # noqa: BLE001 - as at the end of a program
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0 if ended is None else ended if isinstance(ended, int) else 1)


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
    if "torch" in sys.modules and {"ask", "check", "eval", "profile"} & set(sys.argv[1:3]):
        _fork_children()
    sys.modules["__main__"] = importlib.import_module(sys.argv[0])
    sys.modules["__main__"].main()
