"""Where the time of a short command goes: milliseconds of imports by library, and of all else, for each command.

`python -m sharpv_cli.benchmarks.start_times --runs 7` runs each command as a process of its own, in turns, once by the
clock and once with `-X importtime`; with `demo probe` behind it, these alone. What is below 50 ms everywhere is added
up.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median

from sharpv_cli.metrics import now
from sharpv_cli.shapes.demo import DEMO_FOLDER

_CLIP = str(DEMO_FOLDER / "moving.mp4")
COMMANDS: Mapping[str, Sequence[str]] = {
    "ask": ("ask", _CLIP, "Which direction does the red circle move?", "--quiet"),
    "probe": ("probe", _CLIP),
    "doctor": ("doctor",),
    "demo": ("demo", "clips"),
    "models": ("models", "list"),
}
# Parts of PyTorch that have a row of their own: an answer uses nothing of them.
_PARTS = ("torch._dynamo", "torch._inductor", "torch.distributed")
_LINE = re.compile(rb"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
_LEAST_MS = 50.0
_PYTHON, _REST, _OTHERS, _WHOLE = "Python's own modules", "all else", "other libraries", "**whole command**"


def timed(command: Sequence[str], folder: str) -> dict[str, float]:
    """Milliseconds of one run: by library, of all else, and whole."""
    began = now()
    _run([sys.executable], command, folder)
    whole = 1000 * (now() - began)
    found = imports(_run([sys.executable, "-X", "importtime"], command, folder))
    return {**found, _REST: whole - sum(found.values()), _WHOLE: whole}


def imports(said: bytes) -> dict[str, float]:
    """Milliseconds that modules took themselves, by library, of what `-X importtime` says."""
    found: dict[str, float] = defaultdict(float)
    for microseconds, name in _LINE.findall(said):
        found[_library(name.decode())] += int(microseconds) / 1000
    return found


def _library(module: str) -> str:
    part = next((part for part in _PARTS if f"{module}.".startswith(f"{part}.")), None)
    top = module.partition(".")[0]
    return part or (_PYTHON if top in sys.stdlib_module_names else top)


def _run(python: Sequence[str], command: Sequence[str], folder: str) -> bytes:
    """What it says on stderr. Raises CalledProcessError where it fails."""
    environ = {**os.environ, "SHARPV_KEEP_WARM": "0"}
    line = [*python, "-m", "sharpv_cli", *command]
    done = subprocess.run(
        line, stdin=subprocess.DEVNULL, capture_output=True, check=True, cwd=folder, env=environ
    )
    return done.stderr


def measured(names: Sequence[str], runs: int) -> dict[str, dict[str, float]]:
    """Medians by command, with what is small everywhere added up."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs):
            for name in names:
                taken[name].append(timed(COMMANDS[name], folder))
    return _without_small({name: _medians(rows) for name, rows in taken.items()})


def _medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: median(row.get(name, 0.0) for row in rows) for row in rows for name in row}


def _without_small(found: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    large = {name for row in found.values() for name, ms in row.items() if ms >= _LEAST_MS} | {_REST, _WHOLE}
    return {
        command: {_OTHERS: sum(ms for name, ms in row.items() if name not in large)}
        | {name: ms for name, ms in row.items() if name in large}
        for command, row in found.items()
    }


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown: the largest first, the whole last."""
    most = {name: max(row.get(name, 0.0) for row in found.values()) for row in found.values() for name in row}
    names = sorted(most, key=lambda name: (name == _WHOLE, -most[name]))
    lines = [f"| ms | {' | '.join(found)} |", f"|---|{'--:|' * len(found)}"]
    for name in names:
        cells = (f"{row[name]:.0f}" if name in row else "" for row in found.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"of {', '.join(COMMANDS)}")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    if unknown := set(given.commands) - set(COMMANDS):
        parser.error(f"no such command: {', '.join(sorted(unknown))}")
    print(table(measured(given.commands or list(COMMANDS), given.runs)))


if __name__ == "__main__":
    main()
