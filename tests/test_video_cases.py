"""The videos of tests/cases, each as its README says."""

from pathlib import Path

import pytest

from sharpv_cli.errors import VideoError
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.local import Limits
from sharpv_cli.video.probe import probe
from sharpv_cli.video.sampling import Sampling
from sharpv_cli.video.sources import local_video

CASES = Path(__file__).resolve().parent / "cases"


def take(name, frames=999, **range_):
    return sample_frames(CASES / name, Sampling(frames=frames, **range_))


def number_of(image):
    """Twelve columns, black or white, the least significant at the left."""
    height, width = image.shape[:2]
    row = image[height * 3 // 8 : height * 5 // 8].mean((0, 2))
    return sum(int(row[int((bit + 0.5) * width / 12)] > 127) << bit for bit in range(12))


def test_a_doubled_time_in_a_film_with_gaps():
    info, sample = take("vfr_doubled.webm")
    assert info == probe(CASES / "vfr_doubled.webm")
    assert (info.duration_sec, info.frames_total) == (pytest.approx(126), 150)
    assert [number_of(image) for image in sample.images] == list(sample.indices) == list(range(150))
    for number, time in enumerate(sample.timestamps_sec):
        assert number == 20 or time == pytest.approx(0.04 * (number % 50) + 62 * (number // 50))
    assert take("vfr_doubled.webm", start=62, end=64)[1].indices == tuple(range(50, 100))
    assert not any("cut short" in warning for warning in sample.warnings)


def test_dolby_vision_5_is_refused_by_name():
    with pytest.raises(VideoError, match="is Dolby Vision profile 5"):
        take("dolby_vision_5.mp4")


@pytest.mark.parametrize("name", ["crop_display_whole.mkv", "crop_display_cropped.mkv"])
def test_what_matroska_crops_is_not_shown_and_nothing_is_squeezed(name):
    info, sample = take(name, 1)
    assert (info.width, info.height, sample.images.shape) == (640, 240, (1, 240, 640, 3))
    image = sample.images[0].astype(int)
    assert image[:2].max() > 100 and image[-2:].max() > 100, "a black bar is left"
    yellow = (image[..., 0] > 150) & (image[..., 2] < 120)
    rows, columns = yellow.any(1).sum(), yellow.any(0).sum()
    assert (rows, columns) == (pytest.approx(181, abs=3), pytest.approx(181, abs=3))


def test_a_matrix_that_is_not_converted_is_said():
    _, sample = take("matrix_14.mp4", 4)
    assert sample.images.shape == (4, 240, 320, 3)
    assert any("colour matrix (14: ICtCp)" in warning for warning in sample.warnings)


def test_jpegs_one_after_the_other_are_a_film():
    info, sample = take("raw.mjpg")
    assert (info.frames_total, info.width, info.height, len(sample.images)) == (10, 720, 576, 10)
    assert any("25 fps is assumed" in warning for warning in sample.warnings)
    assert len({image.tobytes() for image in sample.images}) == 10


def test_of_several_jpegs_picture_takes_the_first_and_says_so():
    with local_video(str(CASES / "raw.mjpg"), Limits(picture=True)) as video:
        info, sample = sample_frames(video, Sampling(frames=4))
    assert info.frames_total == 1
    assert "the file holds more pictures than the one that is taken, the first" in sample.warnings
    first = take("raw.mjpg")[1].images[0].astype(int)
    assert abs(sample.images[0] - first).mean() < 3


def test_mxf_is_read():
    info, sample = take("clip.mxf", 3)
    assert (info.container, info.codec, info.frames_total) == ("mxf", "mpeg2video", 5)
    assert sample.images.shape == (3, 240, 320, 3)
