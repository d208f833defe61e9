"""Running `sharpv` on terminals of a given size, for tests of what people see."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from dataclasses import dataclass
from pathlib import Path

import pyte
from run_cli import environment
from waiting import LONG

_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Seen:
    """What arrived on the terminal and in the pipe of one run."""

    code: int
    terminal: str
    pipe: str

    @property
    def text(self) -> str:
        """The terminal's, without escape sequences and carriage returns."""
        return _SEQUENCE.sub("", self.terminal).replace("\r", "")

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def on_terminal(
    command: list[str], *args: str, home: Path, columns: int = 80, stdout: bool = False, **changes: str
) -> Seen:
    """Run with stderr, or with `stdout` that one, as a terminal of `columns`, and the other as a pipe."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [*command, *args],
        env=environment(home, **changes),
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=theirs if stdout else subprocess.PIPE,
        stderr=subprocess.PIPE if stdout else theirs,
    )
    os.close(theirs)
    seen = everything(ours)
    out, err = process.communicate(timeout=LONG)
    os.close(ours)
    return Seen(process.returncode, seen, (err if stdout else out).decode())


def screen_of(
    command: list[str], *args: str, home: Path, columns: int, rows: int, **changes: str
) -> list[str]:
    """What stands on a terminal of this size when a command has ended whose streams all go there; no empty lines."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        [*command, *args],
        env=environment(home, **changes),
        cwd=home,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    screen = pyte.Screen(columns, rows)
    pyte.Stream(screen).feed(everything(ours))
    os.close(ours)
    assert process.wait(LONG) == 0, screen.display
    return [line.rstrip() for line in screen.display if line.strip()]


def everything(terminal: int) -> str:
    """All that comes until its last writer is gone, which Linux tells by an error."""
    seen = b""
    while select.select([terminal], [], [], LONG)[0]:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    return seen.decode(errors="replace")
