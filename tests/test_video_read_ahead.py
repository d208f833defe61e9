"""Reading ahead: how far, by how many processes, and by how many threads in all of them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import clips
import hostile_work
import pytest

from sharpv_cli.batch.working import outcome
from sharpv_cli.benchmarks.limits_check import as_on
from sharpv_cli.errors import ShortageError
from sharpv_cli.pipeline import frames
from sharpv_cli.settings import resolve
from sharpv_cli.video import read_ahead
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.read_ahead import ReadAhead
from sharpv_cli.video.shares import Shares, default_readers

HD = (1280, 720)


class Clock:
    """Stands still unless the test moves it, whatever else the machine does."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(read_ahead, "monotonic", clock)
    return clock


def waits(for_what: Callable[[], bool]) -> bool:
    """Until it is so, for a minute at most."""
    return any(for_what() or time.sleep(0.001) for _ in range(60_000))


def see_cores(count: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process and in those that it starts."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)))
    for name, value in as_on(count, folder).items():
        monkeypatch.setenv(name, value)


def test_reading_stays_a_bounded_number_of_videos_ahead() -> None:
    begun: list[int] = []

    def read(_reader: object, number: int) -> int:
        begun.append(number)
        return number * 10

    with ReadAhead(read, readers=2) as ahead:
        ahead.feed(range(20), ahead=3)
        for taken in range(20):
            number, coming = ahead.first(wait=True)  # type: ignore[misc]
            assert coming.result() == number * 10
            assert len(begun) <= taken + 1 + 3
        assert ahead.first(wait=True) is None
    assert sorted(begun) == list(range(20))


@pytest.mark.parametrize("had", [0, 1])
def test_without_threads_nothing_is_waited_for_in_vain(monkeypatch: pytest.MonkeyPatch, had: int) -> None:
    """The threads that there are read all; where there is none, each video is told what was missing."""
    start, left = threading.Thread.start, [had]

    def limited(thread: threading.Thread) -> None:
        if left[0] == 0:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    with ReadAhead(lambda _reader, number: number * 10, readers=3) as ahead:
        monkeypatch.setattr(threading.Thread, "start", limited)
        coming = [ahead.begin(number) for number in range(5)]
        monkeypatch.undo()
        told = [outcome(lambda one=one: one.result(60)) for one in coming]
    assert told == [0, 10, 20, 30, 40] if had else all(isinstance(one, ShortageError) for one in told)


def test_a_reader_that_cannot_be_had_is_told_of_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_share: int) -> IsolatedReader:
        raise OSError("no more of them")

    monkeypatch.setattr(read_ahead, "IsolatedReader", missing)
    with ReadAhead(lambda _reader, number: number) as ahead:
        error = ahead.begin(1).exception(60)
    assert "no more of them" in str(error)


def test_many_small_clips_are_read_by_one_process_on_any_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """The start of another takes longer than they do."""
    film = clips.encode(tmp_path / "film.mp4", size=(64, 48))
    see_cores(32, tmp_path, monkeypatch)
    work = hostile_work.process_and_torch
    with ReadAhead(lambda reader, _: reader.read(film, work)[0], readers=16) as ahead:
        assert len({coming.result() for coming in [ahead.begin(number) for number in range(40)]}) == 1


def test_a_further_reader_begins_once_all_have_read_for_so_long_that_it_is_worth_its_start(
    clock: Clock,
) -> None:
    at_work: SimpleQueue[IsolatedReader] = SimpleQueue()
    go = threading.Event()

    def read(reader: IsolatedReader, number: int) -> None:
        at_work.put(reader)
        assert number < 0 or go.wait(60)

    with ReadAhead(read, readers=8) as ahead:
        ahead.begin(-1).result(60)
        only = at_work.get(timeout=60)
        clock.now += 1000.0  # it is idle: that counts for nothing
        ahead.begin(0)
        assert at_work.get(timeout=60) is only
        seen = [only]
        for number, seconds in enumerate((2.0, 1.0, 2.0 / 3.0), start=1):
            clock.now += seconds - 0.01
            ahead.begin(10 * number)
            assert waits(lambda number=number: len(ahead._wanting) == number)
            assert at_work.empty()
            clock.now += 0.02
            ahead.begin(10 * number + 1)
            seen.append(at_work.get(timeout=60))
        go.set()
    assert len(set(seen)) == 4


@pytest.mark.parametrize(("took", "used", "worth"), [(1.0, 0.5, 4.0), (9.0, 0.5, 8.0), (1.0, 4.0, 2.0)])
def test_readers_that_get_a_part_of_a_core_work_for_longer_before_there_are_more(
    clock: Clock, took: float, used: float, worth: float
) -> None:
    """On a busy machine further ones would only wait as well."""

    def read(reader: IsolatedReader, _: int) -> None:
        clock.now += took
        reader.cpu_sec += used

    with ReadAhead(read) as ahead:
        ahead.begin(0).result(60)
        clock.now = ahead._all_busy_since = 500.0
        assert ahead._worth_another() == 500.0 + worth


def test_a_child_tells_the_processor_time_of_reading(tmp_path: Path) -> None:
    film = clips.encode(tmp_path / "film.mp4")
    with IsolatedReader() as reader:
        reader.read(film, hostile_work.process_and_torch)
        little = reader.cpu_sec
        reader.read(film, hostile_work.compute)
        assert 0 < little < 0.2 <= reader.cpu_sec


def test_what_waits_for_a_reader_has_its_turn_soon_beside_what_computes() -> None:
    before = sys.getswitchinterval()
    with ReadAhead(lambda _reader, _: sys.getswitchinterval()) as ahead:
        assert ahead.begin(0).result(60) < before / 4
    assert sys.getswitchinterval() == before


def test_the_start_of_a_reader_is_not_what_a_clip_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, ready = str(clips.encode(tmp_path / "film.mp4")), []

    def timed(work: Any) -> tuple[Any, float]:
        ready.append(reader._child is not None and reader._child._ready)
        return work(), 1.0

    monkeypatch.setattr(frames, "timed", timed)
    with IsolatedReader() as reader:
        assert frames.decode_isolated(reader, film, resolve({}, {}).settings).seconds == 1.0
    assert ready == [True]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Large enough for many threads: one keyframe; interlaced, which is converted by a filter of FFmpeg's."""
    folder, fast = tmp_path_factory.mktemp("large"), {"preset": "ultrafast"}
    interlaced = {"flags": "+ildct+ilme", "x264-params": "interlaced=1:tff=1"}
    return [
        clips.encode(folder / "long.mp4", size=HD, options={**fast, "g": "1000"}),
        clips.encode(folder / "fields.mp4", size=HD, options={**fast, **interlaced}),
    ]


@pytest.mark.parametrize("count", [1, 2, 16, 32, 128])
def test_all_readers_together_run_no_more_threads_than_there_are_cores(
    films: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """In real processes; two threads of each wait: one for the parent's end, one for the decoder's threads."""
    see_cores(count, tmp_path, monkeypatch)
    readers = default_readers(count)
    with IsolatedReader(Shares.of(count, readers).reader) as reader:
        found = [reader.read(film, hostile_work.sampled_with_threads) for film in films]
    assert [taken for taken, _, _ in found] == [8, 8]
    threads = [max(1, threads - 2) for _, _, threads in found]
    assert max(threads) * readers <= count, threads
