"""What reading many small clips takes beside reading each of them alone, as on a machine with many cores.

    python -m sharpv_cli.benchmarks.many_readers --cores 32
    python -m sharpv_cli.benchmarks.many_readers --cores 0

Both ways take turns, `--rounds` times. Alone, one reader that plans with all cores reads clip after clip, and its start
is not counted. Together, as many readers as `sharpv batch` has on so many cores read them, and the start of all their
processes is counted. Processor time is that of this process and of those that it starts. With `--cores 0` it is the
cores that there are: only then does the clock say what a machine with so many of them would.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from unittest.mock import patch

from sharpv_cli.batch.working import READ_AHEAD
from sharpv_cli.benchmarks.drawn_frames import drawn_clips
from sharpv_cli.benchmarks.limits_check import as_on
from sharpv_cli.cores import cores
from sharpv_cli.video import isolated
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.read_ahead import ReadAhead
from sharpv_cli.video.sampling import Sampling
from sharpv_cli.video.shares import default_readers


@dataclass
class Spent:
    """What some clips took: processor seconds of all together; the clock's seconds of each, and what read it."""

    cpu_sec: float = 0.0
    each: list[tuple[float, IsolatedReader]] = field(default_factory=list)

    @property
    def each_ms(self) -> float:
        return median(seconds for seconds, _ in self.each) * 1e3

    @property
    def readers(self) -> int:
        return len({reader for _, reader in self.each})


def read(reader: IsolatedReader, clip: Path, frames: int) -> tuple[float, IsolatedReader]:
    reader.prepare()
    began = perf_counter()
    reader.read(clip, partial(sample_frames, sampling=Sampling(frames=frames)))
    return perf_counter() - began, reader


@contextmanager
def spending() -> Iterator[Spent]:
    spent = Spent()
    before = _cpu_sec()
    yield spent
    isolated.end()  # the system counts a process's time once it has ended
    spent.cpu_sec = _cpu_sec() - before


def _cpu_sec() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def alone(clips: Sequence[Path], frames: int) -> Spent:
    with spending() as start, IsolatedReader() as reader:
        read(reader, clips[0], frames)
    with spending() as spent, IsolatedReader() as reader:
        read(reader, clips[0], frames)
        spent.each = [read(reader, clip, frames) for clip in clips]
    spent.cpu_sec -= start.cpu_sec
    return spent


def together(clips: Sequence[Path], frames: int, readers: int) -> Spent:
    with spending() as spent, ReadAhead(partial(read, frames=frames), readers=readers) as ahead:
        ahead.feed(clips, ahead=readers + READ_AHEAD)
        while found := ahead.first(wait=True):
            spent.each.append(found[1].result())
    return spent


@contextmanager
def seeing(count: int, folder: Path) -> Iterator[None]:
    """This process and those that it starts see so many cores; 0: as many as there are."""
    seen = set(range(count)) if count else os.sched_getaffinity(0)
    with (
        patch.dict(os.environ, as_on(count, folder)),
        patch.object(os, "sched_getaffinity", lambda _: seen),
    ):
        yield


def row(clips: Sequence[Path], frames: int, readers: int) -> str:
    one, many = alone(clips, frames), together(clips, frames, readers)
    return (
        f"| {one.cpu_sec / len(clips) * 1e3:.1f} | {many.cpu_sec / len(clips) * 1e3:.1f} "
        f"| {many.cpu_sec / one.cpu_sec:.2f} | {one.each_ms:.1f} | {many.each_ms:.1f} "
        f"| {many.each_ms / one.each_ms:.2f} | {many.readers} |"
    )


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    there = cores()
    with tempfile.TemporaryDirectory() as name:
        clips = drawn_clips(options.clips, options.side, options.folder or Path(name))
        with seeing(options.cores, Path(name)):
            readers = options.readers or default_readers(cores())
            print(
                f"{len(clips)} clips, {options.frames} frames of {options.side}x{options.side}, at most {readers} "
                f"readers, planned for {cores()} cores on {there}\n"
            )
            print(
                "| CPU ms a clip, alone | with others | ratio | ms a clip, alone | with others | ratio | readers |"
            )
            print("|" + "--:|" * 7)
            for _ in range(options.rounds):
                print(row(clips, options.frames, readers), flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--cores", type=int, default=32, help="that Python is told of; 0: as many as there are")
    add("--clips", type=int, default=200)
    add("--frames", type=int, default=8)
    add("--side", type=int, default=384, help="pixels of a frame's side")
    add("--rounds", type=int, default=3)
    add("--readers", type=int, help="at most; by default as many as `sharpv batch` has")
    add("--folder", type=Path, help="where clips stay")
    return parser


if __name__ == "__main__":
    sys.exit(main())
