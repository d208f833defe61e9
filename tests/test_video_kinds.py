"""Kinds of video that docs/video-input.md promises and no other test reads, and the promise that each has a test."""

import ast
import re
import struct
from functools import partial
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from PIL import Image

from sharpv_cli.errors import VideoError
from sharpv_cli.units import memory_size
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.probe import probe, scan
from sharpv_cli.video.sampling import Sampling

TESTS = Path(__file__).resolve().parent
DOCUMENT = TESTS.parent / "docs" / "video-input.md"

take = partial(sample_frames, sampling=Sampling(frames=6))


def numbers_are_the_indices(path):
    _, sample = take(path)
    return [clips.number_of(image) for image in sample.images] == list(sample.indices)


def test_every_row_of_the_table_names_a_test_that_exists():
    named = re.findall(
        r"`(test_video_\w+|test_real_clips)::(test_\w+)`", DOCUMENT.read_text(encoding="utf-8")
    )
    assert len(named) >= 40
    for file, function in named:
        tree = ast.parse((TESTS / f"{file}.py").read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (
            file,
            function,
        )


@pytest.mark.parametrize("size", [(1, 1), (16, 1), (2, 16), (3, 999), (999, 3), (321, 241)])
def test_odd_sizes(tmp_path, size):
    flat = clips.encode(
        tmp_path / "a.mkv",
        3,
        codec="ffv1",
        pix_fmt="yuv444p",
        size=size,
        images=lambda number, width, height: np.full((height, width, 3), 120, np.uint8),
    )
    info, sample = take(flat)
    assert (info.width, info.height) == size
    assert sample.images.shape == (3, size[1], size[0], 3)
    assert np.abs(sample.images.astype(int) - 120).max() <= 2


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "lp=1"}}),
        ("a.asf", {"codec": "wmv2", "options": {"q": "2", "qmax": "3"}}),
        ("a.flv", {"codec": "flv", "options": {"q": "2", "qmax": "3"}}),
        ("a.avi", {"codec": "msmpeg4", "options": {"q": "2", "qmax": "3"}}),
        ("b.avi", {"codec": "cinepak", "pix_fmt": "rgb24"}),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "gray"}),
        ("b.mkv", {"codec": "ffv1", "pix_fmt": "gray16le"}),
        ("c.mkv", {"codec": "ffv1", "pix_fmt": "bgr0"}),
        ("a.mov", {"codec": "png", "pix_fmt": "rgb24"}),
        ("b.mov", {"codec": "prores_ks", "pix_fmt": "yuv444p10le"}),
        ("a.hevc", {"codec": "libx265"}),
        ("a.ivf", {"codec": "libvpx"}),
        ("a.mxf.mp4", {"codec": "mpeg4", "options": {"q": "2", "qmax": "3"}}),
        ("a.mxf", {"codec": "mpeg2video", "options": {"bf": "2", "qmax": "3"}}),
        ("b.mxf", {"codec": "libx264", "options": {"bf": "2"}}),
        ("a.gxf", {"codec": "mpeg2video", "size": (720, 576)}),
        ("a.dv", {"codec": "dvvideo", "size": (720, 576)}),
        ("a.y4m", {"codec": "rawvideo"}),
        ("a.nut", {"codec": "libx264", "options": {"bf": "2"}}),
        ("a.mjpeg", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "mjpeg"}),
        ("a.mpjpeg", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "mpjpeg"}),
        (
            "a.obu",
            {"codec": "libsvtav1", "container": "obu", "options": {"preset": "12", "svtav1-params": "lp=1"}},
        ),
    ],
)
def test_more_codecs(tmp_path, name, settings):
    if settings["codec"] not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {settings['codec']}")
    assert numbers_are_the_indices(clips.encode(tmp_path / name, 20, **settings))


@pytest.mark.parametrize(
    ("name", "settings", "rate"),
    [
        ("a.h264", {"options": {"preset": "veryfast", "bf": "2"}}, 50),
        ("a.hevc", {"codec": "libx265"}, 50),
        ("a.m2v", {"codec": "mpeg2video", "options": {"bf": "2", "qmax": "3"}}, 50),
        ("a.mjpeg", {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "mjpeg"}, 25),
    ],
)
def test_raw_streams_have_the_rate_that_they_name(tmp_path, name, settings, rate):
    path = clips.encode(tmp_path / name, 20, fps=50, **settings)
    assert numbers_are_the_indices(path)
    info, sample = take(path)
    assert info.duration_sec == pytest.approx(20 / rate)
    assumed = any(f"{rate} fps is assumed" in warning for warning in sample.warnings)
    assert assumed is (name != "a.m2v")


def test_transparency_that_is_not_read_is_said(tmp_path):
    path = clips.encode(tmp_path / "a.webm", 3, codec="libvpx-vp9", pix_fmt="yuva420p")
    assert "the video's transparency is not read: what lies under it is shown" in take(path)[1].warnings


def test_very_fast_and_very_slow_clips(tmp_path):
    fast = clips.encode(tmp_path / "fast.mp4", 100, fps=240)
    assert numbers_are_the_indices(fast)
    assert probe(fast).fps == pytest.approx(240)
    slow = clips.encode(tmp_path / "slow.mp4", 5, fps=1, pts=lambda number: number * 10)
    _, sample = take(slow)
    assert sample.timestamps_sec == (0.0, 10.0, 20.0, 30.0, 40.0)


def test_two_hundred_streams(tmp_path):
    """More than 64 streams are not looked at; the first of them is the film."""
    path = tmp_path / "many.mkv"
    with av.open(str(path), "w") as output:
        streams = [output.add_stream("mjpeg", rate=25) for _ in range(200)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 16, 16, "yuvj420p"
        for stream in streams:
            frame = av.VideoFrame(16, 16, "yuvj420p")
            frame.pts = 0
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    assert probe(path).frames_total == 1


def test_boxes_nested_without_end(tmp_path):
    nest = b""
    for _ in range(20_000):
        nest = struct.pack(">I4s", len(nest) + 8, b"moov") + nest
    path = tmp_path / "nested.mp4"
    path.write_bytes(struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom") + nest)
    with pytest.raises(VideoError):
        probe(path)


def test_a_transport_stream_cut_at_its_start(tmp_path):
    whole = clips.encode(tmp_path / "whole.ts", 100, options={"g": "25"}).read_bytes()
    path = tmp_path / "cut.ts"
    path.write_bytes(whole[len(whole) // 3 + 50 :])
    info, sample = take(path)
    assert 25 <= info.frames_total < 100
    shown = [clips.number_of(image) for image in sample.images]
    assert shown == sorted(shown)
    assert shown[-1] > 80


def test_the_last_byte_is_missing(tmp_path):
    data = clips.encode(tmp_path / "a.mp4", 100, mux={"movflags": "+faststart"}).read_bytes()
    (tmp_path / "b.mp4").write_bytes(data[:-1])
    assert take(tmp_path / "b.mp4")[0].frames_total >= 97


def test_the_first_keyframe_is_destroyed(tmp_path):
    data = bytearray(clips.encode(tmp_path / "a.mp4", 60, options={"g": "20", "bf": "0"}).read_bytes())
    start, _ = clips.find_box(bytes(data), b"mdat")
    data[start : start + 600] = bytes(600)
    (tmp_path / "b.mp4").write_bytes(data)
    _, sample = take(tmp_path / "b.mp4")
    assert any("damaged" in warning for warning in sample.warnings)
    assert clips.number_of(sample.images[-1]) >= 40


def test_an_animation_in_avif(tmp_path):
    if ".avif" not in Image.registered_extensions():
        pytest.skip("this Pillow writes no AVIF")
    pages = [Image.fromarray(clips.numbered(number)) for number in range(5)]
    path = tmp_path / "a.avifs"
    pages[0].save(path, format="AVIF", save_all=True, append_images=pages[1:], duration=100, quality=90)
    info, sample = take(path)
    assert info.frames_total == 5
    assert [clips.number_of(image) for image in sample.images] == [0, 1, 2, 3, 4]


def test_transparency_of_avif_that_is_not_read_is_said(tmp_path):
    if ".avif" not in Image.registered_extensions():
        pytest.skip("this Pillow writes no AVIF")
    pages = [Image.new("RGBA", (64, 48), (200, level, 30, 90)) for level in (0, 100)]
    pages[0].save(tmp_path / "a.avif", save_all=True, append_images=pages[1:], duration=100)
    assert any("transparency is not read" in warning for warning in take(tmp_path / "a.avif")[1].warnings)
    opaque = [page.convert("RGB") for page in pages]
    opaque[0].save(tmp_path / "b.avif", save_all=True, append_images=opaque[1:], duration=100)
    assert not any("transparency" in warning for warning in take(tmp_path / "b.avif")[1].warnings)


def test_a_gif_of_very_many_frames(tmp_path):
    frame = b"\x21\xf9\x04\0\x0a\0\0\0," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    head = b"GIF89a" + struct.pack("<HHBBB", 32, 32, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    (tmp_path / "long.gif").write_bytes(head + frame * 20_000 + b";")
    assert take(tmp_path / "long.gif")[0].frames_total == 20_000


JOINED = {
    "mp4": {},
    "mov": {},
    "flv": {},
    "asf": {"codec": "wmv2", "container": "asf"},
    "y4m": {"codec": "rawvideo"},
    "apng": {"codec": "apng", "pix_fmt": "rgb24", "container": "apng"},
    "ivf": {"codec": "libvpx"},
    "nut": {},
}
READ_ON = {
    "mxf": {"codec": "mpeg2video"},
    "mkv": {},
    "avi": {"codec": "mpeg4"},
    "ts": {},
    "gif": {"codec": "gif", "pix_fmt": "rgb8"},
}


@pytest.mark.parametrize("kind", JOINED)
def test_a_second_film_behind_the_first_is_said(tmp_path, kind):
    one = clips.encode(tmp_path / f"one.{kind}", 20, **JOINED[kind])
    assert not any("another film" in warning for warning in scan(one).warnings)
    (tmp_path / f"both.{kind}").write_bytes(one.read_bytes() * 2)
    warnings = take(tmp_path / f"both.{kind}")[1].warnings
    size = memory_size(one.stat().st_size)
    assert any(f"the last {size} of the file are another film" in warning for warning in warnings)


def test_a_film_of_another_kind_behind_the_first_is_said(tmp_path):
    mkv, mp4 = clips.encode(tmp_path / "a.mkv", 20), clips.encode(tmp_path / "a.mp4", 20)
    for first, second in ((mkv, mp4), (mp4, mkv)):
        (tmp_path / first.name.replace("a", "b")).write_bytes(first.read_bytes() + second.read_bytes())
        warnings = scan(tmp_path / first.name.replace("a", "b")).warnings
        assert any("another film" in warning for warning in warnings)


@pytest.mark.parametrize("kind", READ_ON)
def test_where_films_may_be_joined_all_is_read(tmp_path, kind):
    one = clips.encode(tmp_path / f"one.{kind}", 20, **READ_ON[kind])
    (tmp_path / f"both.{kind}").write_bytes(one.read_bytes() * 2)
    info, sample = take(tmp_path / f"both.{kind}")
    assert info.frames_total == 40
    assert not any("another film" in warning for warning in sample.warnings)


def test_a_cover_behind_the_pictures_is_no_film(tmp_path):
    """As `mkvpropedit` attaches one."""
    path = clips.encode(tmp_path / "a.mkv", 20)
    cover = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100)
    with path.open("ab") as file:
        file.write(b"\xec" + (1 << 56 | len(cover)).to_bytes(8) + cover)  # an element that readers pass over
    assert not any("another film" in warning for warning in scan(path).warnings)
