"""How fast, and how exactly, frames are taken from clips: sharpv beside other loaders.

    python -m sharpv_cli.benchmarks.decoding_speed [--clips FOLDER] [--frames 8,32,64] [--runs 5] [--json FILE]

The loaders take turns within one process, so that whatever else the machine does falls on all of them. The
clips carry frame numbers, so that each picture says whether it is the right one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sharpv_cli.benchmarks.barcode_clips import FPS, BarcodeClip, barcode_clips, read_number
from sharpv_cli.benchmarks.decoding_readers import Reader, Taken, readers
from sharpv_cli.errors import SharpvError, UsageError


@dataclass(frozen=True, slots=True)
class Measured:
    """One loader on one clip. `seconds` are its timed runs.

    `on_screen` counts the frames that are the ones on screen at the n sample times, `time_error_sec` is the
    largest difference between a time that the loader claims and the true one of the frame that it gave; None
    where a picture shows no frame of the clip.
    """

    reader: str
    clip: str
    frames: int
    seconds: tuple[float, ...]
    on_screen: int
    time_error_sec: float | None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def measure(clip: BarcodeClip, n: int, loaders: list[Reader], runs: int, budget_sec: float) -> list[Measured]:
    """Every loader in turn, `runs` times after one that is not counted.

    A loader that has used up its budget sits out the rest; its first run is always within it.
    """
    taken = {loader.name: loader.read(clip.path, n) for loader in loaders}
    seconds: dict[str, list[float]] = {loader.name: [] for loader in loaders}
    for _ in range(runs):
        for loader in loaders:
            spent = seconds[loader.name]
            if not spent or sum(spent) < budget_sec:
                start = time.perf_counter()
                loader.read(clip.path, n)
                spent.append(time.perf_counter() - start)
    return [
        Measured(name, clip.name, n, tuple(seconds[name]), *exactness(clip, n, taken[name])) for name in taken
    ]


def exactness(clip: BarcodeClip, n: int, taken: Taken) -> tuple[int, float | None]:
    """How many frames are those on screen at the n sample times, and the largest error of the times in
    seconds."""
    numbers = [read_number(image) for image in taken.images]
    moments = (np.arange(n) + 0.5) / n * _length(clip)
    right = np.searchsorted(clip.places / FPS, moments + 1e-6, side="right") - 1
    on_screen = len(set(numbers) & set(right.tolist()))
    if max(numbers) >= len(clip.places):
        return on_screen, None
    return on_screen, float(np.abs(clip.places[numbers] / FPS - np.array(taken.times)).max())


def _length(clip: BarcodeClip) -> float:
    """Seconds until the last frame leaves the screen, which stays as long as its file says: one tick."""
    return float(clip.places[-1] + 1) / FPS


def table(rows: list[Measured]) -> str:
    """Markdown: a row for each loader, clip and number of frames, with its time over sharpv's."""
    ours = {(row.clip, row.frames): row.median for row in rows if row.reader == "sharpv"}
    lines = [
        "| clip | frames | loader | median s | least - most s | runs | time / sharpv's | on screen | time error s |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        spread = f"{min(row.seconds):.3f} - {max(row.seconds):.3f}"
        ratio = row.median / ours[row.clip, row.frames]
        error = "no frame" if row.time_error_sec is None else f"{row.time_error_sec:.4f}"
        lines.append(
            f"| {row.clip} | {row.frames} | {row.reader} | {row.median:.3f} | {spread} | {len(row.seconds)} "
            f"| {ratio:.2f} | {row.on_screen}/{row.frames} | {error} |"
        )
    return "\n".join(lines)


def machine(loaders: list[Reader], missing: list[str]) -> dict[str, object]:
    """What a reader of the figures has to know."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "load_average": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "versions": {loader.name: loader.version for loader in loaders},
        "missing": missing,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        clips = barcode_clips(options.clips)
        loaders, missing = readers()
        rows = []
        for clip in clips:
            for n in options.frames:
                rows += measure(clip, n, loaders, options.runs, options.budget)
                print(f"{clip.name}, {n} frames: done", file=sys.stderr)
        facts = machine(loaders, missing)
        if options.json:
            _write_json(options.json, facts, rows)
    except SharpvError as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return error.exit_code
    print("\n".join(f"{key}: {value}" for key, value in facts.items()), end="\n\n")
    print(table(rows))
    return 0


def _write_json(path: Path, facts: dict[str, object], rows: list[Measured]) -> None:
    document = {"schema": "sharpv.decoding-speed/1", **facts, "rows": [asdict(row) for row in rows]}
    try:
        path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="choose another file") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--clips", type=Path, default=Path(tempfile.gettempdir()), help="where the clips are kept (60 MB)")
    add("--frames", type=_numbers, default=[8, 32, 64], metavar="N,N", help="how many frames to take")
    add("--runs", type=int, default=5, help="timed runs of each loader")
    add("--budget", type=float, default=30.0, help="seconds after which a slow loader is not timed again")
    add("--json", type=Path, help="also write the figures, with every run's time, to this file")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
