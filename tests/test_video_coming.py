"""Frames from a child process: those that come in this process, whatever the file; a child that is lost is told."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import encode

from sharpv_cli.errors import ShortageError, VideoError
from sharpv_cli.video.ahead import FramesAhead
from sharpv_cli.video.coming import FramesOfChild
from sharpv_cli.video.sampling import Sampling
from sharpv_cli.video.sinks import Take

COUNT = 60


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"preset": "veryfast", "g": "10"}
    return encode(tmp_path_factory.mktemp("film") / "film.mp4", COUNT, options=options)


def all_of(frames: Any) -> list[Any]:
    with frames:
        first = frames.first()
        assert first.coming is frames
        items = [(first.info, first.sample.indices, first.sample.timestamps_sec, first.sample.warnings)]
        while (item := frames.get()) is not None:
            items.append(item)
    return items


def uniform(frames: int) -> Sampling:
    return Sampling(strategy="uniform", frames=frames)


@pytest.mark.parametrize("damaged", [False, True])
def test_what_comes_is_what_comes_without_a_child(film: Path, tmp_path: Path, damaged: bool) -> None:
    data = bytearray(film.read_bytes())
    if damaged:
        data[int(len(data) * 0.7) : int(len(data) * 0.7) + 400] = bytes(400)
    path = tmp_path / "film.mp4"
    path.write_bytes(data)
    got, want = (
        all_of(kind(path, uniform(COUNT), whole=4, chunk=8)) for kind in (FramesOfChild, FramesAhead)
    )
    assert [type(item) for item in got] == [type(item) for item in want]
    for one, other in zip(got, want, strict=True):
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other
    assert sum(isinstance(item, Take) for item in got) == damaged


def test_a_short_clip_comes_whole(film: Path) -> None:
    with FramesOfChild(film, uniform(6), whole=8, chunk=8) as frames:
        first = frames.first()
        assert frames.get() is None
    assert first.coming is None
    assert (first.info.frames_total, first.sample.images.shape[0]) == (COUNT, 6)
    assert frames.busy_sec > 0
    assert not frames.touched


def test_a_refusal_is_raised_where_frames_are_taken(tmp_path: Path) -> None:
    with (
        FramesOfChild(tmp_path / "gone.mp4", uniform(60), whole=4, chunk=8) as frames,
        pytest.raises(VideoError, match="no such file"),
    ):
        frames.first()


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [(signal.SIGSEGV, VideoError, r"crashed \(SIGSEGV\)"), (signal.SIGKILL, ShortageError, "was killed")],
)
def test_a_child_that_is_lost_in_the_middle(
    film: Path, number: int, error: type[Exception], words: str
) -> None:
    with FramesOfChild(film, uniform(COUNT), whole=4, chunk=4) as frames:
        frames.first()
        frames.get()
        os.kill(pid_of(frames), number)
        with pytest.raises(error, match=words):
            [frames.get() for _ in range(COUNT)]


def test_closing_early_ends_the_child(film: Path) -> None:
    frames = FramesOfChild(film, uniform(COUNT), whole=4, chunk=4)
    frames.first()
    pid = pid_of(frames)
    frames.close()
    assert not Path(f"/proc/{pid}").exists()


def pid_of(frames: FramesOfChild) -> int:
    child = frames._reader._at_work
    assert child is not None
    return child._process.pid
