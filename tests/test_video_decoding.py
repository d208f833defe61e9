"""Sampled frames of real files, against the numbers burnt into them and against a decode front to back."""

import itertools
import struct
from dataclasses import replace
from fractions import Fraction

import clips
import numpy as np
import pytest
from PIL import Image
from seeks import by_seeking

from sharpv_cli.errors import ResourceError, UsageError, VideoError
from sharpv_cli.video import picture
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.local import Limits, LocalVideo
from sharpv_cli.video.probe import scan
from sharpv_cli.video.sampling import Sampling, Selection

MS = Fraction(1, 1000)


def uneven(number):
    """Milliseconds: 50 ms a frame, then 500 ms, one hold of 5 s, then 20 ms."""
    if number < 20:
        return number * 50
    return 1000 + (number - 20) * 500 if number < 30 else 11_000 + (number - 30) * 20


FILES = {
    "bframes.mp4": {"options": {"preset": "veryfast", "bf": "3", "g": "10"}},
    "fragmented.mp4": {"mux": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "10"}},
    "opengop.mp4": {
        "options": {"preset": "veryfast", "g": "10", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}
    },
    "intrarefresh.mp4": {"options": {"g": "10", "x264-params": "intra-refresh=1"}},
    "tenbit.mp4": {"pix_fmt": "yuv420p10le"},
    "hevc.mp4": {"codec": "libx265", "options": {"g": "10"}},
    "late.mp4": {"pts": lambda number: number + 250},
    "uneven.mp4": {"pts": uneven, "time_base": MS},
    "fullrange.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "bframes.mkv": {"options": {"preset": "veryfast", "bf": "3", "g": "10"}},
    "late.mkv": {"pts": lambda number: number + 250},
    "negative.mkv": {
        "pts": lambda number: number - 8,
        "options": {"bf": "0"},
        "mux": {"avoid_negative_ts": "disabled"},
    },
    "uneven.mkv": {"pts": uneven, "time_base": MS},
    "lossless.mkv": {"codec": "ffv1", "pix_fmt": "yuv444p"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "10"}},
    "vp8.webm": {"codec": "libvpx", "options": {"g": "10", "auto-alt-ref": "1", "lag-in-frames": "8"}},
    "bframes.avi": {"codec": "mpeg4", "options": {"bf": "2", "q": "2", "qmax": "3"}},
    "h264.avi": {"options": {"preset": "veryfast", "bf": "2"}},
    "plain.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "bframes.ts": {"options": {"preset": "veryfast", "bf": "3", "g": "10"}},
    "late.ts": {"pts": lambda number: number + 90_000},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2", "qmax": "3"}},
    "plain.flv": {"options": {"bf": "2"}},
    "raw.h264": {"options": {"bf": "2"}},
    "plain.gif": {"codec": "gif", "pix_fmt": "gray", "fps": 10},
    "plain.apng": {"codec": "apng", "pix_fmt": "rgb24", "container": "apng", "mux": {"plays": "0"}},
}
SEEKABLE = [
    "bframes.mp4",
    "fragmented.mp4",
    "opengop.mp4",
    "hevc.mp4",
    "bframes.mkv",
    "vp9.webm",
    "lossless.mkv",
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")

    def get(name, **changes):
        path = folder / name
        return path if path.exists() else clips.encode(path, **{**FILES.get(name, {}), **changes})

    return get


def take(path, frames=6, **range_):
    return sample_frames(path, Sampling(frames=frames, **range_))


def on_screen(times, start, end, n):
    moments = start + (np.arange(n) + 0.5) / n * (end - start)
    return sorted({max((i for i, time in enumerate(times) if time <= t), default=0) for t in moments})


def true_times(settings, count=40):
    base = settings.get("time_base") or Fraction(1, settings.get("fps", 25))
    pts = settings.get("pts", lambda number: number)
    return [float((pts(number) - pts(0)) * base) for number in range(count)]


@pytest.mark.parametrize("frames", [1, 3, 11])
@pytest.mark.parametrize("name", FILES)
def test_the_frame_on_screen_is_taken_with_its_true_time(clip, name, frames):
    path, times = clip(name), true_times(FILES[name])
    info, sample = take(path, frames)
    assert info.frames_total == 40
    assert info.duration_sec == pytest.approx(times[-1] + times[1], abs=0.05)
    assert list(sample.indices) == on_screen(times, 0, info.duration_sec, frames)
    assert [clips.number_of(image) for image in sample.images] == list(sample.indices)
    # Matroska and FLV write milliseconds.
    assert np.allclose(sample.timestamps_sec, [times[i] for i in sample.indices], atol=0.0011)


@pytest.mark.parametrize("name", FILES)
def test_pictures_are_those_of_a_decode_front_to_back(clip, name):
    path = clip(name)
    whole = clips.decoded(path)
    for frames in (2, 5):
        sample = take(path, frames)[1]
        for index, image in zip(sample.indices, sample.images, strict=True):
            assert np.array_equal(image, whole[index][1])


@pytest.mark.parametrize("name", SEEKABLE)
def test_seeking_gives_the_same_pictures(clip, name):
    path = clip(name)
    plan = scan(path)
    whole = clips.decoded(path)
    for wanted in ((39,), (12, 35), (10, 29)):
        found = by_seeking(path, plan, Selection(wanted))
        assert found is not None
        for index, image in zip(wanted, found.images, strict=True):
            assert np.array_equal(image, whole[index][1])


def test_an_index_that_names_wrong_keyframes_does_no_harm(clip, tmp_path):
    data = bytearray(clip("bframes.mp4").read_bytes())
    start, end = clips.find_box(bytes(data), b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stss")
    for place in range(start + 12, end, 4):
        (sample,) = struct.unpack(">I", data[place : place + 4])
        data[place : place + 4] = struct.pack(">I", sample + 4)
    path = tmp_path / "wrong.mp4"
    path.write_bytes(data)
    whole = clips.decoded(path)
    for frames in (1, 2, 3):
        sample = take(path, frames)[1]
        assert [clips.number_of(image) for image in sample.images] == list(sample.indices)
        assert all(
            np.array_equal(image, whole[i][1]) for i, image in zip(sample.indices, sample.images, strict=True)
        )


def test_frames_before_an_edit_list_are_not_shown(tmp_path):
    path = clips.encode(
        tmp_path / "negative.mp4",
        pts=lambda number: number - 10,
        options={"bf": "0"},
        mux={"avoid_negative_ts": "disabled", "use_editlist": "1"},
    )
    info, sample = take(path, 30)
    assert info.frames_total == 30
    assert [clips.number_of(image) for image in sample.images] == list(range(10, 40))
    assert sample.timestamps_sec == pytest.approx(np.arange(30) / 25)


def test_start_and_end_pick_from_that_range(clip):
    sample = take(clip("bframes.mp4"), 4, start=0.8, end=1.2)[1]
    assert sample.indices == (21, 23, 26, 28)
    assert [clips.number_of(image) for image in sample.images] == [21, 23, 26, 28]


def test_fps_and_max_frames(clip):
    path = clip("bframes.mkv")
    by_rate = sample_frames(path, Sampling("fps", fps=5.0))[1]
    assert by_rate.indices == (2, 7, 12, 17, 22, 27, 32, 37)
    assert by_rate.strategy == "fps"
    capped = sample_frames(path, Sampling("fps", fps=5.0, max_frames=4))[1]
    assert capped.indices == (5, 15, 25, 35)
    assert "max_frames takes 4" in capped.warnings[0]


def test_a_range_outside_of_the_clip_is_a_usage_error(clip):
    with pytest.raises(UsageError, match="the start 9 s is not in the clip") as caught:
        take(clip("bframes.mp4"), start=9.0)
    assert caught.value.hint == "the clip is 1.60 s long"


@pytest.mark.parametrize("name", ["one.mp4", "one.mkv", "one.webm", "one.avi", "one.ts"])
def test_a_clip_of_one_frame(tmp_path, name):
    codec = "libvpx-vp9" if name.endswith("webm") else "mpeg4" if name.endswith("avi") else "libx264"
    info, sample = take(clips.encode(tmp_path / name, 1, codec=codec), 8)
    assert info.frames_total == 1
    assert (sample.indices, sample.timestamps_sec) == ((0,), (0.0,))
    assert "only 1 different frame in 0.04 s: all are used, not 8" in sample.warnings[0]


def test_more_frames_than_there_are(clip):
    sample = take(clip("bframes.mp4"), 64)[1]
    assert [clips.number_of(image) for image in sample.images] == list(range(40))
    assert sample.warnings == ("the video shows only 40 different frames in 1.60 s: all are used, not 64",)


def displayed(image, matrix):
    """The picture after a display matrix, pixel by pixel: (x', y') = (x, y) . M about the centre."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    x, y = 2 * x - (width - 1), 2 * y - (height - 1)
    a, b, c, d = matrix
    new_x, new_y = a * x + c * y, b * x + d * y
    out = np.empty((height, width, 3) if a else (width, height, 3), np.uint8)
    out[(new_y + out.shape[0] - 1) // 2, (new_x + out.shape[1] - 1) // 2] = image
    return out


MATRICES = {
    (1, 0, 0, 1): 0,
    (0, 1, -1, 0): 90,
    (-1, 0, 0, -1): 180,
    (0, -1, 1, 0): 270,
    (-1, 0, 0, 1): 0,
    (1, 0, 0, -1): 180,
    (0, 1, 1, 0): 90,
    (0, -1, -1, 0): 270,
}


@pytest.mark.parametrize(("matrix", "degrees"), MATRICES.items())
def test_turned_and_mirrored_tracks_are_shown_upright(clip, tmp_path, matrix, degrees):
    source = clip("bframes.mp4")
    info, sample = take(clips.with_matrix(tmp_path / "turned.mp4", source, matrix), 2)
    plain = take(source, 2)[1]
    assert (info.rotation_deg, info.width, info.height) == (
        degrees,
        sample.images.shape[2],
        sample.images.shape[1],
    )
    for image, upright in zip(plain.images, sample.images, strict=True):
        assert np.array_equal(upright, displayed(image, matrix))


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (1, 1, -1, 1)])
def test_a_matrix_that_is_no_quarter_turn_is_ignored(clip, tmp_path, matrix):
    info, sample = take(clips.with_matrix(tmp_path / "odd.mp4", clip("bframes.mp4"), matrix), 2)
    assert info.rotation_deg == 0
    assert np.array_equal(sample.images, take(clip("bframes.mp4"), 2)[1].images)


def test_pixels_that_are_not_square_are_stretched(tmp_path):
    path = clips.encode(tmp_path / "wide.mp4", 10, aspect=Fraction(4, 3))
    info, sample = take(path, 3)
    assert (info.width, info.height) == (213, 96)
    assert sample.images.shape == (3, 96, 213, 3)
    assert [clips.number_of(image) for image in sample.images] == list(sample.indices)
    turned, upright = take(clips.with_matrix(tmp_path / "tall.mp4", path, (0, 1, -1, 0)), 3)
    assert (turned.width, turned.height) == (96, 213)
    assert np.array_equal(upright.images, np.rot90(sample.images, -1, axes=(1, 2)))


def flat_yuv(red, green, blue, from_red, from_blue):
    """A picture of one colour in limited-range YUV 4:2:0, from the coefficients of BT.601 or BT.709."""
    luma = (from_red * red + (1 - from_red - from_blue) * green + from_blue * blue) / 255
    cb, cr = (blue / 255 - luma) / (2 - 2 * from_blue), (red / 255 - luma) / (2 - 2 * from_red)

    def image(number, width, height):
        planes = [np.full(width * height, round(16 + 219 * luma))]
        planes += [np.full(width * height // 4, round(128 + 224 * chroma)) for chroma in (cb, cr)]
        return np.concatenate(planes).astype(np.uint8).reshape(height * 3 // 2, width)

    return image


@pytest.mark.parametrize(("size", "matrix"), [((1280, 720), (0.2126, 0.0722)), ((320, 240), (0.299, 0.114))])
def test_untagged_colours_are_bt709_in_hd_and_bt601_below(tmp_path, size, matrix):
    path = clips.encode(
        tmp_path / "flat.mkv",
        2,
        codec="ffv1",
        size=size,
        images=flat_yuv(220, 60, 40, *matrix),
        source="yuv420p",
    )
    assert np.abs(take(path, 1)[1].images.astype(int) - (220, 60, 40)).max() <= 2


def test_white_lies_under_transparent_pixels(tmp_path):
    def image(number, width, height):
        out = np.zeros((height, width, 4), np.uint8)
        out[..., 0] = 200
        out[:, width // 2 :, 3] = 255
        out[: height // 2, width // 2 :, 3] = 51
        return out

    path = clips.encode(tmp_path / "alpha.mov", 3, codec="png", pix_fmt="rgba", images=image, source="rgba")
    shown = take(path, 1)[1].images[0]
    assert shown[0, 0].tolist() == [255, 255, 255]
    assert shown[0, -1].tolist() == [244, 204, 204]  # a fifth of (200, 0, 0) on white
    assert shown[-1, -1].tolist() == [200, 0, 0]


def test_a_transparent_gif_with_uneven_delays(tmp_path):
    pictures = []
    for column in range(3):
        rgba = np.zeros((20, 30, 4), np.uint8)
        rgba[:, column * 10 : column * 10 + 10] = (250, 0, 0, 255)
        pictures.append(Image.fromarray(rgba))
    path = tmp_path / "dots.gif"
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=[100, 900, 200], disposal=2, loop=0
    )
    info, sample = take(path, 8)
    assert (info.container, info.frames_total) == ("gif", 3)
    assert sample.timestamps_sec == pytest.approx((0.0, 0.1, 1.0))
    assert sample.images[0, 10, 5].tolist() == pytest.approx([250, 0, 0], abs=8)
    assert sample.images[0, 10, 25].tolist() == [255, 255, 255]


def test_hdr_is_said(tmp_path):
    path = clips.encode(
        tmp_path / "hdr.mp4",
        5,
        codec="libx265",
        pix_fmt="yuv420p10le",
        options={"x265-params": "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"},
    )
    assert any("HDR" in warning for warning in take(path, 2)[1].warnings)


def test_large_pictures_are_scaled_to_a_megapixel(tmp_path):
    path = clips.encode(tmp_path / "large.mp4", 3, size=(1920, 1440))
    info, sample = take(path, 3)
    assert (info.width, info.height) == (1920, 1440)
    height, width = sample.images.shape[1:3]
    assert 0.99 * picture.MAX_FRAME_PIXELS < width * height <= picture.MAX_FRAME_PIXELS
    assert width / height == pytest.approx(4 / 3, abs=0.005)
    assert [clips.number_of(image) for image in sample.images] == [0, 1, 2]


def test_large_pictures_are_averaged_not_thinned(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1440, 1920), np.uint8)
    path = clips.encode(
        tmp_path / "noise.mkv",
        1,
        codec="ffv1",
        size=(1920, 1440),
        pix_fmt="gray",
        source="gray",
        images=lambda *_: noise,
    )
    shown = take(path, 1)[1].images
    assert shown.mean() == pytest.approx(noise.mean(), abs=0.5)
    # One output pixel is the mean of 1.66 x 1.66 input pixels; a thinned picture would keep the whole spread.
    assert shown.std() < 0.75 * noise.std()


def test_very_many_frames_are_smaller_or_refused():
    shape = picture.Shape(1920, 1080)
    for count in (1, 1000, 10_000):
        width, height = shape.bounded(count)
        assert count * width * height * 3 <= picture.MAX_SAMPLE_BYTES
    with pytest.raises(ResourceError, match="1000000 frames of 1920x1080 do not fit in 4 GiB"):
        shape.bounded(1_000_000)


def test_a_size_that_changes_mid_stream(tmp_path):
    small = clips.encode(tmp_path / "small.ts", 20)
    large = clips.encode(tmp_path / "large.ts", 20, size=(320, 192), pts=lambda number: number + 20)
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    sample = take(path, 10)[1]
    assert sample.images.shape == (10, 96, 160, 3)
    assert [clips.number_of(image) for image in sample.images] == [i % 20 for i in sample.indices]
    assert sample.timestamps_sec == pytest.approx([i / 25 for i in sample.indices])


def test_a_clock_that_goes_back_goes_on_from_where_it_was(clip, tmp_path):
    path = tmp_path / "twice.ts"
    path.write_bytes(2 * clip("bframes.ts").read_bytes())
    info, sample = take(path, 8)
    assert info.frames_total == 80
    assert [clips.number_of(image) for image in sample.images] == [i % 40 for i in sample.indices]
    assert sample.timestamps_sec == pytest.approx([i / 25 for i in sample.indices])
    assert "the video's clock goes back once: what follows is taken to go on from there" in sample.warnings


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv"])
def test_a_file_cut_short_gives_what_there_is_and_says_how_much(tmp_path, name):
    whole = clips.encode(
        tmp_path / f"whole{name[3:]}", 100, mux={"movflags": "+faststart"} if "mp4" in name else {}
    )
    data = whole.read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: len(data) * 6 // 10])
    info, sample = take(path, 5)
    assert 1.5 < info.duration_sec < 3.5
    assert (
        sample.warnings[0]
        == f"only {scan(path).timeline.end:.1f} s of 4.0 s can be read: the file is cut short or damaged"
    )
    assert [clips.number_of(image) for image in sample.images] == list(sample.indices)


def damaged(folder, keyframes, place):
    """An MP4 of 100 frames with 1000 bytes zeroed, at a place between 0 and 1 of its data."""
    options = {"preset": "veryfast", "g": str(keyframes), "bf": "3"}
    data = bytearray(clips.encode(folder / "sound.mp4", 100, options=options).read_bytes())
    start, end = clips.find_box(bytes(data), b"mdat")
    start += int(place * (end - start))
    data[start : start + 1000] = bytes(1000)
    path = folder / "damaged.mp4"
    path.write_bytes(data)
    return path


def test_a_damaged_file_gives_what_can_be_decoded_with_true_times(tmp_path):
    path = damaged(tmp_path, 50, 0.3)
    whole = clips.decoded(path)
    assert any(after <= before for (before, _), (after, _) in itertools.pairwise(whole)), "one comes too late"
    info, sample = take(path, 12)
    assert 50 < info.frames_total < len(whole)
    assert f"{info.frames_total} frames came out of 100 packets" in sample.warnings[0]
    by_time = {round(pts / 12800, 4): image for pts, image in whole}
    for time, image in zip(sample.timestamps_sec, sample.images, strict=True):
        assert np.array_equal(image, by_time[round(time, 4)])
    late = [i for i, time in enumerate(sample.timestamps_sec) if time > 3.2]
    assert late
    assert all(clips.number_of(sample.images[i]) == round(sample.timestamps_sec[i] * 25) for i in late)


def test_damage_found_after_a_seek_is_said(tmp_path):
    path = damaged(tmp_path, 25, 0.6)
    plan = scan(path)
    sound, broken = (range(start, start + 25) for start in (25, 50))
    assert by_seeking(path, plan, Selection((max(sound),))) is not None
    assert by_seeking(path, plan, Selection((max(broken),))) is None
    assert "the video is damaged" in take(path, 1, start=2.9, end=3.0)[1].warnings[0]
    assert take(path, 1, start=1.9, end=2.0)[1].warnings == ()


def test_a_frame_that_the_scan_promises_and_that_does_not_come_ends_seeking(clip):
    path = clip("bframes.mkv")
    plan = scan(path)
    pts = np.insert(plan.timeline.pts, 36, plan.timeline.pts[35] + 1)
    wrong = replace(plan, timeline=replace(plan.timeline, times=(pts - pts[0]) / 1000, pts=pts))
    assert by_seeking(path, plan, Selection((37,))) is not None
    assert by_seeking(path, wrong, Selection((36,))) is None
    # Where all frames on the way are decoded, all are looked at.
    assert by_seeking(path, replace(plan, skips=False), Selection((37,))) is not None
    assert by_seeking(path, replace(wrong, skips=False), Selection((37,))) is None


def test_lost_packets_are_concealed_the_same_way_each_time(tmp_path):
    options = {"preset": "veryfast", "g": "25", "bf": "2"}
    data = clips.encode(tmp_path / "sound.ts", 100, size=(320, 240), options=options).read_bytes()
    third = len(data) // 188 // 3 * 188
    path = tmp_path / "lossy.ts"
    path.write_bytes(data[:third] + data[third + 12 * 188 :])
    whole = clips.decoded(path)
    info, sample = take(path, 30)
    assert info.frames_total == len(whole) < 100
    assert "the video is damaged" in sample.warnings[0]
    for index, image in zip(sample.indices, sample.images, strict=True):
        assert np.array_equal(image, whole[index][1])


def test_pictures_that_grow_over_the_limit_are_not_decoded(tmp_path):
    small = clips.encode(tmp_path / "small.ts", 20)
    large = clips.encode(tmp_path / "large.ts", 20, size=(320, 192), pts=lambda number: number + 20)
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    info, sample = take(LocalVideo(str(path), "both.ts", Limits(max_pixels=20_000)), 40)
    assert info.frames_total == 20
    assert "20 frames came out of 40 packets" in sample.warnings[0]


def test_nothing_decodable_is_refused(tmp_path):
    data = bytearray(clips.encode(tmp_path / "sound.mp4").read_bytes())
    start, end = clips.find_box(bytes(data), b"mdat")
    data[start:end] = bytes(end - start)
    path = tmp_path / "zeroed.mp4"
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"no frame of .*zeroed\.mp4 can be decoded") as caught:
        take(path)
    assert "damaged or encrypted" in caught.value.hint
