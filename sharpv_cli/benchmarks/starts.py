"""From Enter to the first word and to the shell's prompt: whole processes, in turns, with and without a loaded model.

`python -m sharpv_cli.benchmarks.starts --runs 7 --loop 20` times, beside `python -c "import torch"`, a cold ask, then
the first one that starts the resident process, one about a new clip and one more about the same, and the client alone,
whose connection is refused; then a loop over different clips, warm and cold, and as many commands at once as
`--at-once` says, each about a new clip, beside as many one after the other. Options for every ask go behind `--`, for
example a model: `-- --model ./random-7b --frames 32 --device cuda`. Every clip is a copy of one MP4 (`--clip`) with a
number at its end, so that no two have the same content. A resident process of yours is neither used nor disturbed.
"""

from __future__ import annotations

import argparse
import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from sharpv_cli.metrics import now
from sharpv_cli.shapes.demo import DEMO_FOLDER
from sharpv_cli.warm import address

SHARPV = [sys.executable, "-m", "sharpv_cli"]
QUESTIONS = ("Which direction does the red circle move?", "What colour is the circle?")
TORCH = "import torch"
_TORCH = [sys.executable, "-c", TORCH]
# What every `ask` begins with, up to where it knows that nobody listens.
_CLIENT = [
    sys.executable,
    "-c",
    "import os, sharpv_cli.__main__; from sharpv_cli.warm import address, client; client.wanted(['ask'], os.environ); "
    "assert client.connect(address.socket_path(os.environ)) is None",
]

_WARM = {"new clip", "same clip"}
_BOX = struct.Struct(">I4sQ")  # of an MP4: its size, its kind, and what nobody reads


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of a process, to the first byte of its stdout (None: it printed nothing) and to its end."""

    first: float | None
    whole: float


class Place:
    """A folder with clips, and folders for sockets and caches that are nobody else's."""

    def __init__(self, folder: Path, clip: Path, options: Sequence[str]) -> None:
        self._folder, self._clip, self.options = folder, clip, options
        self._clips: list[Path] = []
        self._new: Iterator[Path] = iter(self._clips)
        self.last = clip
        plain = _undisturbed(folder)
        self.warm = {**plain, "SHARPV_KEEP_WARM": "10m", "XDG_RUNTIME_DIR": str(self._private("w"))}
        self.cold = {**plain, "SHARPV_KEEP_WARM": "0"}
        self.refused = {**self.warm, "XDG_RUNTIME_DIR": str(self._private("r"))}
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(os.fspath(_socket(self.refused)))

    @property
    def socket(self) -> Path:
        return _socket(self.warm)

    def write_clips(self, many: int) -> None:
        """All at once and beforehand: of a file that was written just now nothing is kept."""
        for number in range(many):
            copy = self._folder / f"{number:04d}{self._clip.suffix}"
            copy.write_bytes(self._clip.read_bytes() + _BOX.pack(_BOX.size, b"free", number))
            self._clips.append(copy)

    def new_clip(self) -> Path:
        self.last = next(self._new)
        return self.last

    def ask(self, clip: Path, environ: dict[str, str], question: str = QUESTIONS[0]) -> Took:
        return timed([*SHARPV, "ask", str(clip), question, "--quiet", "--stream", *self.options], environ)

    def stop(self) -> None:
        subprocess.run([*SHARPV, "warm", "stop"], env=self.warm, check=True, capture_output=True)

    def _private(self, name: str) -> Path:
        made = self._folder / name
        made.mkdir(mode=0o700)
        return made


def _undisturbed(folder: Path) -> dict[str, str]:
    """The environment with nothing in it that keeps a process from staying, and with a cache of its own."""
    environ = {name: value for name, value in os.environ.items() if name not in ("CI", "SHARPV_KEEP_WARM")}
    cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # What `sharpv` sets for itself counts for which process serves it, and is the same here.
    own = {"HF_HOME": str(cache / "huggingface"), "OMP_WAIT_POLICY": "PASSIVE"}
    return {**own, **environ, "XDG_CACHE_HOME": str(folder / "cache")}


@contextmanager
def placed(clip: Path, options: Sequence[str], clips: int) -> Iterator[Place]:
    """No process stays behind."""
    with tempfile.TemporaryDirectory(prefix="sv") as name:
        place = Place(Path(name), clip, options)
        place.write_clips(clips)
        try:
            yield place
        finally:
            place.stop()


def timed(command: Sequence[str], environ: dict[str, str]) -> Took:
    """Raises SystemExit where the command fails."""
    began = now()
    with subprocess.Popen(
        command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        first = now() - began if process.stdout.read(1) else None
        process.stdout.read()
        process.wait()
        took = Took(first, now() - began)
        if process.returncode:
            raise SystemExit(
                f"{' '.join(command)}: exit {process.returncode}\n{process.stderr.read().decode()}"
            )
    return took


def measure(place: Place, runs: int, only: Sequence[str]) -> dict[str, list[Took]]:
    """The times by row, `runs` rounds in turns. Rows of a loaded model find one from the first round on."""
    rows = {name: row for name, row in _rows(place).items() if not only or name in only}
    found: dict[str, list[Took]] = {name: [] for name in rows}
    if "first" not in rows and _WARM & set(rows):
        place.ask(place.new_clip(), place.warm)
    for _ in range(runs):
        for name, row in rows.items():
            found[name].append(row())
    return found


def _rows(place: Place) -> dict[str, Callable[[], Took]]:
    def first_warm() -> Took:
        place.stop()
        return place.ask(place.new_clip(), place.warm)

    return {
        TORCH: lambda: timed(_TORCH, place.cold),
        "client alone": lambda: timed(_CLIENT, place.refused),
        "cold": lambda: place.ask(place.new_clip(), place.cold),
        "first": first_warm,
        "new clip": lambda: place.ask(place.new_clip(), place.warm),
        "same clip": lambda: place.ask(place.last, place.warm, QUESTIONS[1]),
    }


def table(found: dict[str, list[Took]]) -> str:
    """Medians with the range, and each as a multiple of importing torch."""
    lines = ["| | to the first word | to the prompt | of `import torch` |", "|---|--:|--:|--:|"]
    torch = [took.whole for took in found.get(TORCH, [])]
    for name, taken in found.items():
        whole = [took.whole for took in taken]
        firsts = [took.first for took in taken if took.first is not None]
        ratio = f"{median(whole) / median(torch):.2f}" if torch else ""
        lines.append(f"| {name} | {_spread(firsts)} | {_spread(whole)} | {ratio} |")
    return "\n".join(lines)


def loop(place: Place, many: int) -> str:
    """`many` different clips, one command each."""
    place.ask(place.new_clip(), place.warm)  # loads the model
    clips = [place.new_clip() for _ in range(many)]
    warm, cold = (sum(place.ask(clip, env).whole for clip in clips) for env in (place.warm, place.cold))
    return f"{many} clips: {warm:.2f} s warm, {cold:.2f} s cold, {cold / warm:.1f} times"


def at_once(place: Place, many: int, runs: int) -> str:
    """`many` commands that begin together, each about another clip, and as many one after the other, in turns."""
    place.ask(place.new_clip(), place.warm)  # loads the model
    together, alone = [], []
    for _ in range(runs):
        clips = [place.new_clip() for _ in range(2 * many)]
        began = now()
        with ThreadPoolExecutor(many) as pool:
            list(pool.map(lambda clip: place.ask(clip, place.warm), clips[:many]))
        together.append(now() - began)
        alone.append(sum(place.ask(clip, place.warm).whole for clip in clips[many:]))
    return f"{many} new clips: {_spread(together)} s at once, {_spread(alone)} s one after the other"


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.3f} ({min(seconds):.3f}–{max(seconds):.3f})" if seconds else ""


def _socket(environ: dict[str, str]) -> Path:
    path = address.socket_path(environ)
    assert path is not None, "a folder for sockets that has a short name"
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--loop", type=int, default=20, help="clips of the loop; 0: none")
    parser.add_argument("--at-once", type=int, default=0, metavar="N", help="commands that begin together")
    parser.add_argument("--only", action="append", default=[], help="a row; repeat it for several")
    parser.add_argument("--clip", type=Path, default=DEMO_FOLDER / "moving.mp4")
    parser.add_argument("options", nargs="*", help="for every ask, behind --")
    given = parser.parse_args(arguments)
    clips = 3 * given.runs + given.loop + 2 * given.runs * given.at_once + 3
    with placed(given.clip, given.options, clips) as place:
        print(table(measure(place, given.runs, given.only)), flush=True)
        if given.loop:
            print(loop(place, given.loop), flush=True)
        if given.at_once:
            print(at_once(place, given.at_once, given.runs))


if __name__ == "__main__":
    main()
