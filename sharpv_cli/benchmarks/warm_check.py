"""The resident process over time and under blows: memory, CPU while idle, SIGKILL, many commands at once.

`python -m sharpv_cli.benchmarks.warm_check` asks about `--clips` different clips and compares resident memory with that
after a tenth of them (at most 1.2 times); counts the CPU that it and its children take in `--idle` seconds; kills it
`--kills` times at random moments of an answer, which then is whole or none; and lets `--clients` commands start it at
once. Exit 1 where something is not as it should be. Options for every ask go behind `--`.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sharpv_cli.benchmarks.starts import QUESTIONS, SHARPV, Place, placed
from sharpv_cli.shapes.demo import DEMO_FOLDER
from sharpv_cli.units import memory_size
from sharpv_cli.warm import client

_MOST_GROWTH = 1.2
_LONG_ANSWER = "Describe the video."
_SETTLE_SEC = 1.0  # it tidies up when the command is over


def memory(place: Place, clips: int) -> bool:
    """After all clips at most 1.2 times what it was after a tenth of them."""
    sizes = []
    for number in range(1, clips + 1):
        place.ask(place.new_clip(), place.warm)
        if number in (max(1, clips // 10), clips):
            time.sleep(_SETTLE_SEC)
            sizes.append(status(place).memory_bytes)
    growth = sizes[-1] / sizes[0]
    print(f"memory: {' then '.join(map(memory_size, sizes))} after {clips} clips, {growth:.2f} times")
    return growth <= _MOST_GROWTH


def idle(place: Place, seconds: float) -> bool:
    """No tick of the kernel's clock for the process and its children together, or one for bad luck."""
    processes = [status(place).process]
    processes += _children(processes[0])
    time.sleep(_SETTLE_SEC)
    before = sum(map(_ticks, processes))
    time.sleep(seconds)
    ticks = sum(map(_ticks, processes)) - before
    print(
        f"idle: {ticks} ticks of {1000 // os.sysconf('SC_CLK_TCK')} ms in {seconds:g} s, {len(processes)} processes"
    )
    return ticks <= 1


def kills(place: Place, count: int) -> bool:
    """Each answer is whole, or a beginning of it with exit code 5 and a word why."""
    clip = place.new_clip()
    whole = _asked(place, clip).communicate()[0]
    ends = {"whole": 0, "cut": 0, "wrong": 0}
    for seed in range(count):
        place.ask(clip, place.warm)
        while (
            client.status(place.socket) is None
        ):  # the children of a killed one hold its lock a little longer
            place.ask(clip, place.warm)
        process = status(place).process
        asking = _asked(place, clip)
        time.sleep(random.Random(seed).uniform(0.0, 0.5))
        os.kill(process, signal.SIGKILL)
        out, errors = asking.communicate()
        ends[_end(asking.returncode, out, errors, whole)] += 1
    print(f"SIGKILL: {', '.join(f'{number} {end}' for end, number in ends.items())}")
    return not ends["wrong"]


def clients(place: Place, count: int) -> bool:
    """One process, and every answer."""
    place.stop()
    clip = place.new_clip()
    with ThreadPoolExecutor(count) as pool:
        done = list(
            pool.map(lambda _: _asked(place, clip, QUESTIONS[0], quiet=False).communicate(), range(count))
        )
    started = sum("the model stays loaded" in errors for _, errors in done)
    answers = {out for out, _ in done}
    print(f"{count} at once: {len(answers)} different answers, {started} started a process")
    return len(answers) == 1 and started == 1 and "" not in answers


def status(place: Place) -> client.Status:
    """Raises SystemExit where there is no process."""
    found = client.status(place.socket)
    if found is None:
        raise SystemExit("there is no resident process")
    return found


def _asked(
    place: Place, clip: Path, question: str = _LONG_ANSWER, *, quiet: bool = True
) -> subprocess.Popen[str]:
    command = [
        *SHARPV,
        "ask",
        str(clip),
        question,
        "--stream",
        *(["--quiet"] if quiet else []),
        *place.options,
    ]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=place.warm, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    )


def _end(code: int, out: str, errors: str, whole: str) -> str:
    if code == 0:
        return "whole" if out == whole else "wrong"
    cut = code == 5 and whole.startswith(out) and "the resident process ended" in errors
    return "cut" if cut else "wrong"


def _children(process: int) -> list[int]:
    """Of all of its threads."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return [int(word) for task in tasks for word in (task / "children").read_text().split()]


def _ticks(process: int) -> int:
    """utime + stime."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--idle", type=float, default=20.0, metavar="SECONDS")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--clip", type=Path, default=DEMO_FOLDER / "moving.mp4")
    parser.add_argument("options", nargs="*", help="for every ask, behind --")
    given = parser.parse_args(arguments)
    with placed(given.clip, given.options, given.clips + 2) as place:
        return 0 if all(list(_checks(place, given))) else 1


def _checks(place: Place, given: argparse.Namespace) -> Iterator[bool]:
    if given.clips:
        yield memory(place, given.clips)
    if given.idle:
        yield idle(place, given.idle)
    if given.kills:
        yield kills(place, given.kills)
    if given.clients:
        yield clients(place, given.clients)


if __name__ == "__main__":
    raise SystemExit(main())
