"""Signals, outputs that are gone and odd surroundings: the exit code, no traceback, nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from run_cli import SHARPV, TEXT, environment, run, scripted
from waiting import LONG

ASK = ["ask", "clip.mp4", "what?", "--quiet"]


def python(home: Path, script: str, *args: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-c", script], *args, home=home)


def shell(
    home: Path, line: str, *, cwd: Path | None = None, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `$ANSWER` and `$REAL` are scripted commands."""
    commands = {"ANSWER": " ".join(scripted("answer")), "REAL": " ".join(scripted("real"))}
    return subprocess.run(
        ["bash", "-c", line], env=environment(home, **commands, **changes), cwd=cwd or home,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONG, check=False,
    )  # fmt: skip


# Signals

# Raises the signal when the import of a module begins, or when the process ends.
WHEN_IMPORTED = """
import signal, sys
_, module, number = sys.argv
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            signal.raise_signal(getattr(signal, number))
sys.meta_path.insert(0, Press())
from sharpv_cli.__main__ import main
sys.argv[:] = ["sharpv", "models", "list"]
main()
"""
AT_EXIT = """
import atexit, signal, sys
atexit.register(signal.raise_signal, signal.SIGINT)
from sharpv_cli.__main__ import main
sys.argv[:] = ["sharpv", "--version"]
main()
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_while_the_app_is_imported(home: Path, name: str, code: int) -> None:
    done = python(home, WHEN_IMPORTED, "typer", name)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_ctrl_c_while_a_command_imports(home: Path) -> None:
    done = python(home, WHEN_IMPORTED, "pydantic", "SIGINT")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_while_the_process_ends(home: Path) -> None:
    done = python(home, AT_EXIT)
    assert (done.returncode, done.stderr) == (130, "")
    assert done.stdout.startswith("sharpv ")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_in_mid_answer(home: Path, number: signal.Signals, code: int) -> None:
    process = _start(home, "slow", *ASK, "--stream", "--chart-out", "never.svg")
    assert process.stdout is not None
    assert process.stderr is not None
    assert os.read(process.stdout.fileno(), 100) == b"[red] is "
    assert process.stderr.readline() == b"piece\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=LONG)
    assert (process.returncode, out, err) == (code, b"", b"")
    assert not (home / "never.svg").exists()


def test_sigterm_while_loading(home: Path) -> None:
    process = _start(home, "slow-load", *ASK)
    assert process.stderr is not None
    assert process.stderr.readline() == b"loading\n"
    process.terminate()
    assert process.communicate(timeout=LONG) == (b"", b"")
    assert process.returncode == 143


def test_sigterm_while_profiling_keeps_what_was_exported(home: Path) -> None:
    process = _start(home, "slow", "profile", "clip.mp4", "--quiet", "--export-json", "kept.json")
    assert process.stderr is not None
    assert process.stderr.readline() == b"measuring\n"
    process.terminate()
    assert process.communicate(timeout=LONG) == (b"", b"")
    assert process.returncode == 143
    assert (home / "kept.json").read_text(encoding="utf-8").endswith("}\n")
    assert [path.name for path in home.iterdir() if path.name.endswith(".part")] == []


def test_sighup_that_the_caller_ignores_is_ignored(home: Path) -> None:
    done = shell(home, f"trap '' HUP; $ANSWER {' '.join(ASK)} & kill -HUP $!; wait $!")
    assert (done.returncode, done.stdout) == (0, f"{TEXT}\n")


# Kills itself after three frames, as from outside.
CLIP = """
import signal, sys, numpy
from sharpv_cli import signals
from sharpv_cli.video.encoding import write_clip
signals.end_at_once()
def frames():
    for index in range(9):
        if index == 3:
            assert any(name.endswith(".part") for name in __import__("os").listdir(sys.argv[1]))
            signal.raise_signal(signal.SIGTERM)
        yield numpy.zeros((64, 96, 3), numpy.uint8)
write_clip(sys.argv[1] + "/clip.mp4", frames(), 10.0, codec="mpeg4")
"""


def test_sigterm_leaves_no_half_of_a_clip(home: Path, tmp_path: Path) -> None:
    done = python(home, CLIP, str(tmp_path))
    assert (done.returncode, done.stderr) == (143, "")
    assert list(tmp_path.iterdir()) == []


def _start(home: Path, scenario: str, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*scripted(scenario), *args], env=environment(home), cwd=home,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


# Outputs that are gone

LINES = [
    "$REAL models list",
    "$REAL models show tiny",
    "$REAL doctor --json",
    "$REAL demo clips",
    "$ANSWER profile clip.mp4 --json",
    "$ANSWER ask clip.mp4 what? --quiet",
]


@pytest.mark.parametrize("line", LINES)
def test_stdout_that_is_closed_is_exit_2(home: Path, line: str) -> None:
    done = shell(home, f"{line} >&-")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2,
        "error: stdout is closed, so the answer has nowhere to go",
    )


@pytest.mark.parametrize("line", [line for line in LINES if "demo" not in line])
def test_a_full_disk_is_exit_2(home: Path, line: str) -> None:
    done = shell(home, f"{line} >/dev/full")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "error: cannot write the answer to stdout: No space left on device",
    )


@pytest.mark.parametrize("line", ["$REAL models list", "$REAL doctor"])
def test_a_reader_that_has_seen_enough_is_no_failure(home: Path, line: str) -> None:
    done = shell(home, f"set -o pipefail; {line} | head -1")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)


def test_a_chart_that_no_longer_fits_on_the_disk(home: Path, tmp_path: Path) -> None:
    """The limit of a file's size stands for the disk: writing fails, making the file does not."""
    target = tmp_path / "chart.svg"
    done = shell(
        home, f"ulimit -f 0; $ANSWER {' '.join(ASK)} --chart-out {target} | cat; exit ${{PIPESTATUS[0]}}"
    )
    assert (done.returncode, done.stdout) == (2, f"{TEXT}\n")
    assert done.stderr.startswith(f"error: cannot write {target}: File too large\nhint: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["/dev/full", "/proc/chart.svg"])
def test_a_chart_that_cannot_be_written_is_refused_first(home: Path, target: str) -> None:
    link = home / f"to-{Path(target).name}.svg"
    link.symlink_to(target)
    done = shell(home, f"$ANSWER {' '.join(ASK)} --chart-out {link}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "unexpected" not in done.stderr


# Surroundings


@pytest.mark.parametrize("prefix", ["env -u HOME", "env HOME=/nonexistent", "env HOME=/proc", ""])
def test_a_home_that_is_not_there(home: Path, prefix: str) -> None:
    done = shell(home, f"{prefix} $ANSWER {' '.join(ASK)} <&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{TEXT}\n", "")


def test_a_working_folder_that_was_deleted(home: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = shell(home, f"rmdir {gone}; $ANSWER {' '.join(ASK)}", cwd=gone)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: the folder that this runs in was deleted\nhint: ")


def test_a_model_name_of_5000_characters_is_cut_where_it_is_said(home: Path) -> None:
    done = run(scripted("real"), "ask", "clip.mp4", "what?", "--model", "./" + "x" * 5000, home=home)
    first = done.stderr.splitlines()[0]
    assert done.returncode == 4
    assert len(first) < 1100
    assert "characters left out" in first
    assert first.endswith("no such folder")


# Completion, through each shell's own protocol

RUN = "import runpy; runpy.run_module('sharpv_cli', run_name='__main__')"


def complete(home: Path, words: str, shell_name: str = "bash") -> list[str]:
    """What is offered for the last of `words`; torch and transformers are forbidden meanwhile."""
    told = {
        "bash": {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))},
        "zsh": {"_TYPER_COMPLETE_ARGS": words},
        "fish": {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell_name]
    done = run(scripted("real"), home=home, _SHARPV_COMPLETE=f"complete_{shell_name}", **told)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_completion_offers_commands_options_and_profiles(home: Path) -> None:
    assert {"ask", "profile", "models", "demo", "doctor"} <= set(complete(home, "sharpv "))
    assert complete(home, "sharpv ask --max-n") == ["--max-new-tokens"]
    assert complete(home, "sharpv ask -p tin") == ["tiny"]
    assert complete(home, "sharpv models sho") == ["show"]


def test_completion_offers_a_users_own_profile(home: Path) -> None:
    folder = home / ".config" / "sharpv" / "profiles"
    folder.mkdir(parents=True)
    (folder / "my-own.yaml").write_text("{}\n", encoding="utf-8")
    assert complete(home, "sharpv models show my") == ["my-own"]


@pytest.mark.parametrize("shell_name", ["zsh", "fish"])
def test_completion_for_other_shells(home: Path, shell_name: str) -> None:
    assert "doctor" in " ".join(complete(home, "sharpv doc", shell_name))


def test_completion_as_bash_installs_it(home: Path) -> None:
    """The function that bash gets is asked, as bash asks it; the trailing command keeps bash the parent."""
    command = home / "sharpv"
    command.write_text(f'#!/bin/sh\nexec {" ".join(scripted("real"))} "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    script = shell(home, f"{' '.join(SHARPV)} --show-completion; true").stdout
    assert "complete -o default -F _sharpv_completion sharpv" in script
    asked = f"COMP_WORDS=(sharpv mod); COMP_CWORD=1; _sharpv_completion {command}; echo ${{COMPREPLY[@]}}"
    assert shell(home, f"{script}\n{asked}").stdout == "models\n"


@pytest.mark.parametrize(
    ("found", "said"), [(None, "in no shell that can be found"), ("tcsh", "in tcsh, which has")]
)
def test_where_no_shell_is_found_one_is_named(home: Path, found: str | None, said: str) -> None:
    """As in containers that show no process above this one."""
    code = (
        f"from typer import _completion_shared as shared; shared._get_shell_name = lambda: {found!r}; {RUN}"
    )
    command = [sys.executable, "-c", code]
    done = run(command, "--install-completion", home=home)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: --install-completion: this runs {said}" in done.stderr
    assert "hint: name one: sharpv --install-completion bash|zsh" in done.stderr
    named = run(command, "--show-completion", "zsh", home=home)
    assert (named.returncode, named.stdout.split()[:2]) == (0, ["#compdef", "sharpv"])
    assert run(command, "--show-completion", "tcsh", home=home).returncode == 2
