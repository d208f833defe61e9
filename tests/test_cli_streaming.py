"""Answers as they come, or in one write each: what a terminal, a pipe and several commands on one pipe get."""

from __future__ import annotations

import os
import pty
import select
import shlex
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from run_cli import PIECES, TEXT, environment, run, scripted
from terminals import everything
from waiting import LONG

ASK = ["ask", "clip.mp4", "what moves?"]
WHOLE = [f"{TEXT}\n"]


def writes(home: Path, *args: str, **changes: str) -> list[str]:
    """What stdout got, write by write: a socket of packets keeps them apart."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            done = subprocess.run(
                [*scripted("answer"), *args],
                cwd=home,
                env=environment(home, **changes),
                stdout=theirs,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        assert done.returncode == 0
        return list(iter(lambda: ours.recv(1 << 16).decode(), ""))


@pytest.mark.parametrize(
    ("args", "changes", "expected"),
    [
        ([], {}, WHOLE),
        (["--stream"], {}, [*PIECES, "\n"]),
        ([], {"SHARPV_STREAM": "true"}, [*PIECES, "\n"]),
        (["--no-stream"], {"SHARPV_STREAM": "true"}, WHOLE),
        (["-q", "and?"], {}, WHOLE * 2),
    ],
    ids=["pipe", "flag", "variable", "flag over variable", "several"],
)
def test_an_answer_is_one_write_unless_it_streams(
    home: Path, args: list[str], changes: dict[str, str], expected: list[str]
) -> None:
    assert writes(home, *ASK, *args, **changes) == expected


@pytest.mark.parametrize(("mode", "comes"), [([], True), (["--no-stream"], False)])
def test_a_terminal_gets_the_answer_as_it_comes(home: Path, mode: list[str], comes: bool) -> None:
    ours, theirs = pty.openpty()
    command = [*scripted("slow"), *ASK, "--quiet", *mode]
    with subprocess.Popen(
        command, cwd=home, env=environment(home), stdout=theirs, stderr=subprocess.PIPE, text=True
    ) as asking:
        os.close(theirs)
        assert asking.stderr is not None
        assert any("piece" in line for line in asking.stderr)  # said when the first piece was dealt with
        assert bool(select.select([ours], [], [], LONG if comes else 0.1)[0]) == comes
        asking.send_signal(signal.SIGINT)
        asking.communicate(timeout=LONG)
    assert everything(ours) == "[red] is \r\n"
    os.close(ours)


def test_commands_at_once_on_one_pipe_do_not_mix_their_words(home: Path) -> None:
    """Each answer takes a while to come, in pieces."""
    command = shlex.join(scripted("dripping"))
    asked = f"printf '%s\\n' 1 2 3 4 | xargs -P2 -I{{}} {command} ask clip.mp4 {{}} --quiet | cat"
    done = run(["bash", "-c", asked], home=home)
    assert sorted(done.stdout.splitlines()) == [" ".join([number] * 20) for number in "1234"]
