"""Several decoders side by side: exact on every team, ended by errors and Ctrl-C, and never more than asked."""

import itertools
import threading
import time
from fractions import Fraction

import clips
import numpy as np
import pytest
from seeks import by_seeking
from waiting import LONG

from sharpv_cli.video import converting, seeking
from sharpv_cli.video.probe import scan
from sharpv_cli.video.routes import Team
from sharpv_cli.video.sampling import Selection
from sharpv_cli.video.sinks import Canvas
from sharpv_cli.video.timeline import Choice, Timeline

B_FRAMES = {"preset": "veryfast", "g": "15", "bf": "3"}
FILES = {
    "h264.mp4": {"options": B_FRAMES},
    "h264.mkv": {"options": B_FRAMES},
    "onekey.mp4": {"options": B_FRAMES | {"g": "999"}},
    "pyramid.mp4": {"options": B_FRAMES | {"x264-params": "b-pyramid=strict:bframes=7:b-adapt=0:ref=4"}},
    "fragmented.mp4": {"options": B_FRAMES, "mux": {"movflags": "frag_keyframe+empty_moov"}},
    "hevc.mp4": {
        "codec": "libx265",
        "options": {"preset": "fast", "x265-params": "log-level=none:keyint=15:bframes=4"},
    },
    "layers.mp4": {
        "codec": "libx265",
        "options": {"preset": "fast", "x265-params": "log-level=none:keyint=15:bframes=4:temporal-layers=3"},
    },
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2", "g": "12", "qmax": "3"}},
    "mpeg2.mkv": {"codec": "mpeg2video", "options": {"bf": "2", "g": "12", "qmax": "3"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "15", "auto-alt-ref": "1", "lag-in-frames": "8"}},
    "vp8.webm": {"codec": "libvpx", "options": {"g": "15", "auto-alt-ref": "1", "lag-in-frames": "8"}},
}
COUNT = 60
TEAMS = [Team(1, 1), Team(1, 3), Team(3, 1), Team(2, 2)]
WANTED = [(59,), (0, 29, 30), (7, 21, 22, 23, 44, 58), tuple(range(0, COUNT, 4)), tuple(range(COUNT))]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")

    def get(name):
        path = folder / name
        return path if path.exists() else clips.encode(path, COUNT, **FILES[name])

    return get


@pytest.mark.parametrize("name", FILES)
def test_every_team_gives_the_pictures_of_a_decode_front_to_back(clip, name):
    path = clip(name)
    plan, whole = scan(path), clips.decoded(path)
    for wanted in WANTED:
        for team in TEAMS:
            found = by_seeking(path, plan, Selection(wanted), team)
            assert found is not None, (wanted, team)
            for index, image in zip(wanted, found.images, strict=True):
                assert np.array_equal(image, whole[index][1]), (wanted, team, index)


@pytest.mark.parametrize(
    ("name", "skips"), [("h264.mp4", True), ("hevc.mp4", True), ("layers.mp4", False), ("vp9.webm", False)]
)
def test_pictures_are_skipped_only_where_no_other_needs_them(clip, name, skips):
    assert scan(clip(name)).skips is skips


def test_what_no_wanted_frame_needs_is_not_decoded(clip, monkeypatch):
    decoded = []

    def counting(packet):
        frames, damaged = clips_decode(packet)
        decoded.extend(frames)
        return frames, damaged

    clips_decode = seeking.decode
    monkeypatch.setattr(seeking, "decode", counting)
    path = clip("h264.mp4")
    assert by_seeking(path, scan(path), Selection((50,)), Team(1, 1)) is not None
    # From keyframe 45 on, of which some are left out.
    assert len(decoded) < 6


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("decode", "convert"))]


@pytest.mark.parametrize("team", [Team(3, 1), Team(1, 3)])
@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError, OSError])
def test_an_error_ends_all_threads(clip, monkeypatch, failure, team):
    path = clip("h264.mp4")
    rendered, numbers = [], itertools.count(1)

    def failing(frame, width, height, pose):
        rendered.append(number := next(numbers))
        if number == 3:
            raise failure
        if number > 3:
            time.sleep(0.1)  # for the failure to be known
        return np.zeros((height, width, 3), np.uint8)

    monkeypatch.setattr(converting, "render", failing)
    with pytest.raises(failure):
        by_seeking(path, scan(path), Selection(tuple(range(COUNT))), team)
    assert threads() == []
    assert len(rendered) < 20, "the others went on"


def test_few_frames_wait_to_be_converted(monkeypatch):
    images = np.zeros((20, 2, 2, 3), np.uint8)
    choice = Choice(Selection(tuple(range(20))), Timeline.counted(20, Fraction(1)))
    done, waiting, three = [], [], threading.Event()

    def slow(number, width, height, _pose):
        three.wait(LONG)
        done.append(number)
        return np.full((height, width, 3), number, np.uint8)

    monkeypatch.setattr(converting, "render", slow)
    with converting.converting(Canvas(choice, images), beside=True) as put:
        for number in range(20):
            if number == 3:
                three.set()
            waiting.append(number - len(done))
            put(number, number)
    assert images[:, 0, 0, 0].tolist() == list(range(20))
    assert 2 <= max(waiting) <= converting._WAITING + 1


def test_ctrl_c_while_waiting_ends_all_threads(clip, monkeypatch):
    path = clip("h264.mp4")
    rendered, begun = [], threading.Event()

    def interrupted(futures):
        begun.wait(LONG)
        raise KeyboardInterrupt

    def slow(frame, width, height, _pose):
        rendered.append(frame.pts)
        begun.set()
        time.sleep(0.1)
        return np.zeros((height, width, 3), np.uint8)

    monkeypatch.setattr(converting, "render", slow)
    monkeypatch.setattr(seeking, "as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        by_seeking(path, scan(path), Selection(tuple(range(COUNT))), Team(2, 1))
    assert threads() == []
    assert len(rendered) < COUNT / 2


def test_a_file_that_shrinks_after_the_scan_is_not_trusted(clip, tmp_path):
    path = tmp_path / "h264.mkv"
    data = clip("h264.mkv").read_bytes()
    path.write_bytes(data)
    plan = scan(path)
    path.write_bytes(data[: len(data) // 2])
    assert by_seeking(path, plan, Selection((5, 59)), Team(2, 1)) is None
