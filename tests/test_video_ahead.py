"""Frames decoded ahead in chunks: those that `sample_frames` takes, whatever the file, in bounded memory."""

import threading
import time

import clips
import numpy as np
import pytest
from waiting import LONG, until

from sharpv_cli.errors import VideoError
from sharpv_cli.video import ahead, reading, window
from sharpv_cli.video.ahead import FramesAhead
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.local import Limits, LocalVideo
from sharpv_cli.video.sampling import Sampling
from sharpv_cli.video.sinks import Take

KEYS = {"preset": "veryfast", "g": "10", "bf": "3"}
FILES = {
    "keys.mp4": {"options": KEYS},
    "keys.mkv": {"options": KEYS},
    "onekey.mp4": {"options": KEYS | {"g": "999"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "10"}},
    "bframes.avi": {"codec": "mpeg4", "options": {"bf": "2", "q": "2", "qmax": "3"}},
    "bframes.ts": {"options": {"preset": "veryfast", "bf": "3", "g": "25"}},
    "raw.h264": {"options": {"bf": "2"}},
}
COUNT = 100


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")

    def get(name):
        path = folder / name
        return path if path.exists() else clips.encode(path, COUNT, **FILES[name])

    return get


def stream(path, frames=COUNT, whole=4, chunk=8):
    return FramesAhead(path, Sampling(frames=frames), whole=whole, chunk=chunk)


def collected(frames):
    """The last Take, and the chunks after it."""
    take, chunks, takes = None, [], 0
    with frames:
        while (item := frames.get()) is not None:
            if isinstance(item, Take):
                take, chunks, takes = item, [], takes + 1
            else:
                chunks.append(item)
    return take, chunks, takes


def assert_same(path, frames=COUNT, chunk=8):
    info, sample = sample_frames(path, Sampling(frames=frames))
    take, chunks, takes = collected(stream(path, frames, chunk=chunk))
    assert take.info == info
    assert (take.plan.indices, take.plan.timestamps_sec) == (sample.indices, sample.timestamps_sec)
    assert take.plan.warnings == sample.warnings
    assert all(len(images) == chunk for images in chunks[:-1])
    assert np.array_equal(np.concatenate(chunks), sample.images)
    return sample, takes


@pytest.mark.parametrize("name", FILES)
def test_the_frames_are_those_that_are_taken_at_once(clip, name):
    for frames, chunk in ((COUNT, 8), (33, 32), (17, 5)):
        assert_same(clip(name), frames, chunk)


def damaged(path, place, size=1000):
    """The file's bytes, some of them zeroed at a place between 0 and 1 of its pictures."""
    data = bytearray(path.read_bytes())
    begin, end = clips.find_box(bytes(data), b"mdat") if path.suffix == ".mp4" else (0, len(data))
    start = begin + int(place * (end - begin))
    data[start : start + size] = bytes(size)
    return data


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", ["keys.mp4", "onekey.mp4", "keys.mkv", "bframes.ts", "bframes.avi"])
def test_a_damaged_file_begins_anew_with_what_there_is(clip, tmp_path, name, place):
    path = tmp_path / name
    path.write_bytes(damaged(clip(name), place))
    assert_same(path)


def test_damage_far_behind_shows_when_chunks_were_taken(clip, tmp_path):
    path = tmp_path / "late.mp4"
    path.write_bytes(damaged(clip("keys.mp4"), 0.85))
    sample, takes = assert_same(path, chunk=4)
    assert takes == 2
    assert "the video is damaged" in sample.warnings[0]


def test_where_only_seeking_fails_what_was_taken_stays(clip, monkeypatch):
    def lost(path, plan, runs, sink, team=None, opened=None):
        for slot in range(11):
            sink.put(slot, np.zeros((96, 160, 3), np.uint8))
        sink.release()
        return False

    monkeypatch.setattr("sharpv_cli.video.decoding.seek", lost)
    take, chunks, takes = collected(stream(clip("keys.mp4"), chunk=4))
    assert takes == 1
    images = np.concatenate(chunks)
    assert [clips.number_of(image) for image in images[8:]] == list(take.plan.indices[8:])


def test_a_short_clip_comes_whole(clip):
    path = clip("keys.mp4")
    with stream(path, frames=8, whole=8) as frames:
        found = frames.first()
        assert frames.get() is None
    info, sample = found.info, found.sample
    assert found.coming is None
    assert info.frames_total == COUNT
    assert [clips.number_of(image) for image in sample.images] == list(sample.indices)
    assert frames.busy_sec > 0


def waits_for_room(frames):
    until(lambda: frames._window._clock._since is None)


@pytest.mark.parametrize("name", ["keys.mp4", "onekey.mp4", "bframes.ts"])
def test_decoding_waits_two_chunks_ahead(clip, monkeypatch, name):
    put, slots, quiet = window.Window.put, [], threading.Event()

    def counted(self, slot, image):
        slots.append(slot)
        if len(slots) >= 16:
            quiet.set()
        put(self, slot, image)

    monkeypatch.setattr(window.Window, "put", counted)
    with stream(clip(name)) as frames:
        assert frames.first().coming is frames
        assert quiet.wait(LONG)
        waits_for_room(frames)
        held = frames.busy_sec
        time.sleep(0.1)  # whoever could go on would
        assert sorted(frames._window._filling) == [0, 1]
        assert frames.busy_sec == held, "waiting is no work"
        frames.get()
        assert len(frames.get()) == 8


def test_it_works_while_its_reader_does(clip, monkeypatch):
    """Without a clock: the reader takes a chunk and then does nothing until another is complete."""
    with stream(clip("keys.mp4")) as frames:
        frames.get()
        frames.get()
        complete = threading.Event()

        def watch():
            with frames._window._changed:
                frames._window._changed.wait_for(lambda: frames._window._full(1), LONG)
            complete.set()

        threading.Thread(target=watch, daemon=True).start()
        assert complete.wait(LONG)


def threads():
    return [t for t in threading.enumerate() if t.name.startswith(("decode", "convert", "sharpv-ahead"))]


@pytest.mark.parametrize("name", ["keys.mp4", "onekey.mp4", "bframes.ts"])
def test_closing_early_ends_the_threads(clip, name):
    frames = stream(clip(name))
    frames.get()
    frames.get()
    frames.close()
    for thread in threads():
        thread.join(LONG)
    assert threads() == []


@pytest.mark.parametrize("name", ["keys.mp4", "bframes.ts"])
def test_an_error_in_the_middle_is_raised_where_frames_are_taken(clip, monkeypatch, name):
    from sharpv_cli.video import converting

    render, done = converting.render, []

    def failing(frame, width, height, pose):
        done.append(frame.pts)
        if len(done) > 20:
            raise MemoryError
        return render(frame, width, height, pose)

    monkeypatch.setattr(converting, "render", failing)
    monkeypatch.setattr(reading, "render", failing)
    with pytest.raises(MemoryError):
        collected(stream(clip(name), chunk=4))
    for thread in threads():
        thread.join(LONG)


def test_what_cannot_be_used_is_refused_at_once(tmp_path):
    with stream(tmp_path / "none.mp4") as frames, pytest.raises(VideoError, match=r"none\.mp4"):
        frames.first()


def test_the_limit_is_on_the_decoder_not_on_its_reader(clip, monkeypatch):
    path = LocalVideo(str(clip("keys.mp4")), "keys.mp4", Limits(timeout=LONG))
    clock = [0.0]
    monkeypatch.setattr("sharpv_cli.video.window.perf_counter", lambda: time.perf_counter() + clock[0])
    with stream(path) as frames:
        frames.first()
        waits_for_room(frames)
        clock[0] = 1000.0  # the reader is slow
        assert sum(map(len, collected(frames)[1])) == COUNT


def test_a_decoder_that_hangs_is_given_up(clip, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(ahead, "read_frames", lambda *_: release.wait(LONG))
    path = LocalVideo(str(clip("keys.mp4")), "keys.mp4", Limits(timeout=0.2))
    try:
        with (
            stream(path) as frames,
            pytest.raises(VideoError, match=r"decoding keys.mp4 took longer than 0.2 s"),
        ):
            frames.first()
    finally:
        release.set()
