"""Files made to break readers: a crash, a hang or a blow-up costs one video; no file opens another one."""

import os
import time
from functools import partial

import clips
import fuzz_video
import hostile_work
import numpy as np
import pytest

from sharpv_cli.errors import UsageError, VideoError
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.local import Limits, LocalVideo
from sharpv_cli.video.patience import in_time
from sharpv_cli.video.probe import probe

EIGHT = partial(sample_frames, strategy="uniform", frames=8, fps=None, max_frames=None)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return clips.encode(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture(scope="module")
def reader():
    with IsolatedReader() as reader:
        yield reader


def test_a_child_reads_what_we_read_ourselves(film, reader):
    info, sample = reader.read(film, EIGHT)
    own_info, own = EIGHT(film)
    assert info == own_info
    assert sample.timestamps_sec == own.timestamps_sec
    assert np.array_equal(sample.images, own.images)
    pid, torch_is_there = reader.read(film, hostile_work.process_and_torch)
    assert pid != os.getpid()
    assert not torch_is_there


def test_a_refusal_comes_back_with_its_hint(tmp_path, reader):
    with pytest.raises(VideoError) as caught:
        reader.read(str(tmp_path / "gone.mp4"), probe)
    assert (str(caught.value), caught.value.hint) == (
        f"no such file: {tmp_path}/gone.mp4",
        "check the spelling",
    )
    with pytest.raises(UsageError, match="the start 60 s is not in the clip"):
        reader.read(clips.encode(tmp_path / "a.mp4"), partial(EIGHT, start_sec=60.0))


def test_a_crash_is_a_refusal_and_the_child_is_replaced(film, reader):
    first, _ = reader.read(film, hostile_work.process_and_torch)
    with pytest.raises(VideoError, match=r"reading .*film\.mp4 crashed \(SIGSEGV\)"):
        reader.read(film, hostile_work.crash)
    second, _ = reader.read(film, hostile_work.process_and_torch)
    assert first != second


def test_a_hang_ends_at_the_limit(film, reader):
    started = time.monotonic()
    with pytest.raises(VideoError, match=r"reading film took longer than 0\.5 s"):
        reader.read(LocalVideo(str(film), "film", Limits(timeout=0.5)), hostile_work.hang)
    assert time.monotonic() - started < 5
    assert reader.read(film, probe).frames_total == 40


def test_memory_is_limited(film, reader):
    with pytest.raises(VideoError, match="takes more memory than it may"):
        reader.read(film, hostile_work.swallow_memory)
    assert reader.read(film, probe).frames_total == 40


def test_a_bug_is_no_refusal(film, capfd):
    with IsolatedReader() as reader, pytest.raises(RuntimeError, match="a bug while reading"):
        reader.read(film, hostile_work.be_wrong)
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_work_that_never_returns_is_left_behind_at_the_limit(film):
    video = LocalVideo(str(film), "film.mp4", Limits(timeout=0.2))
    started = time.monotonic()
    with pytest.raises(VideoError, match=r"^decoding film\.mp4 took longer than 0\.2 s$") as caught:
        in_time(video, "decoding", partial(time.sleep, 3))
    assert time.monotonic() - started < 2
    assert "--timeout" in caught.value.hint


def test_work_in_time_gives_its_result_or_its_own_error(film):
    assert in_time(film, "reading", partial(probe, film)).frames_total == 40
    with pytest.raises(VideoError, match="no such file"):
        in_time(film, "reading", partial(probe, "gone.mp4"))


def test_mutated_files_of_every_container(tmp_path):
    table = fuzz_video.run(tmp_path, files=220, seed=7, workers=1)
    assert table.failures == []
    assert table.total("files") == 220
    assert table.total("answered") > 20
    assert table.total("refused") > 20
