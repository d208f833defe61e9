"""What `probe` says of real files, with headers that lie among them."""

import struct
from fractions import Fraction

import clips
import pytest

from sharpv_cli.video.probe import open_video, probe, scan


@pytest.mark.parametrize(
    ("name", "settings", "container", "codec"),
    [
        ("a.mp4", {}, "mp4", "h264"),
        ("a.mov", {"codec": "prores_ks", "pix_fmt": "yuv422p10le"}, "mov", "prores"),
        ("a.mkv", {"codec": "libx265"}, "matroska", "hevc"),
        ("a.webm", {"codec": "libvpx-vp9"}, "webm", "vp9"),
        ("a.avi", {"codec": "mpeg4"}, "avi", "mpeg4"),
        ("a.ts", {"codec": "mpeg2video"}, "mpegts", "mpeg2video"),
        ("a.gif", {"codec": "gif", "pix_fmt": "gray"}, "gif", "gif"),
    ],
)
def test_what_a_file_holds(tmp_path, name, settings, container, codec):
    path = clips.encode(tmp_path / name, 30, **settings)
    info = probe(str(path))
    assert (info.path, info.container, info.codec) == (str(path), container, codec)
    assert (info.width, info.height, info.rotation_deg) == (*clips.SIZE, 0)
    assert (info.frames_total, info.duration_sec, info.fps) == (
        30,
        pytest.approx(1.2, abs=0.002),
        pytest.approx(25, abs=0.05),
    )


def test_the_rate_is_the_mean_where_it_varies(tmp_path):
    path = clips.encode(
        tmp_path / "a.mkv", 11, pts=lambda number: number**2 * 100, time_base=Fraction(1, 1000)
    )
    info = probe(path)
    assert info.duration_sec == pytest.approx(10.04, abs=0.03)
    assert info.fps == pytest.approx(11 / info.duration_sec)


def test_a_sample_count_in_the_header_is_not_believed(tmp_path):
    data = bytearray(clips.encode(tmp_path / "a.mp4", 30).read_bytes())
    start, _ = clips.find_box(bytes(data), b"moov", b"mvhd")
    data[start + 16 : start + 20] = struct.pack(">I", 0xFFFFFFF0)
    start, _ = clips.find_box(bytes(data), b"moov", b"trak", b"mdia", b"mdhd")
    data[start + 16 : start + 20] = struct.pack(">I", 1)
    path = tmp_path / "lie.mp4"
    path.write_bytes(data)
    assert probe(path).frames_total == 30
    assert probe(path).duration_sec == pytest.approx(1.2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -5000.0])
def test_impossible_durations_do_no_harm(tmp_path, value):
    data = bytearray(clips.encode(tmp_path / "a.mkv", 30).read_bytes())
    place = data.index(b"\x44\x89\x88") + 3
    data[place : place + 8] = struct.pack(">d", value)
    path = tmp_path / "lie.mkv"
    path.write_bytes(data)
    assert probe(path).duration_sec == pytest.approx(1.2)
    assert scan(path).warnings == ()


def test_the_film_is_chosen_not_the_cover(tmp_path):
    path = clips.encode(tmp_path / "a.mkv", 30)
    with open_video(path) as (container, stream):
        assert stream is container.streams.best("video")
        assert (stream.width, stream.height) == clips.SIZE
