"""`sharpv` many times in children of one process that has imported what takes long: every command in some seconds.

    python forked_commands.py < commands.json

Each command is a list of arguments; each result on stdout is a line of JSON: exit code, stdout and stderr. On their
stdin is a yes for whoever asks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from run_cli import environment


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def run_all(commands: Sequence[Sequence[str]], home: Path, **changes: str) -> list[Done]:
    """What came of each of the commands, run in `home`."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve())],
        input=json.dumps(commands),
        env=environment(home, **changes),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Done(*json.loads(line)) for line in done.stdout.splitlines()]


def _run(arguments: list[str]) -> tuple[int, str, str]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _become(arguments, out.fileno(), err.fileno())
        _, status = os.waitpid(child, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
        return os.waitstatus_to_exitcode(status), texts[0], texts[1]


def _become(arguments: list[str], out: int, err: int) -> None:
    """This process as `sharpv` with these arguments; does not return."""
    answers, typed = os.pipe()
    os.write(typed, b"y\n" * 20)
    os.close(typed)
    for number, descriptor in enumerate((answers, out, err)):
        os.dup2(descriptor, number)
    sys.argv = ["sharpv", *arguments]
    from sharpv_cli.__main__ import main

    main()
    raise AssertionError("sharpv came back")


if __name__ == "__main__":
    import torch
    import transformers  # noqa: F401

    torch.set_num_threads(1)
    for arguments in json.load(sys.stdin):
        print(json.dumps(_run(arguments)), flush=True)
