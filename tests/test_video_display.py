"""What the container says about display: cropping, pixels that are not square, turns, Dolby Vision, odd colours."""

from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest

from sharpv_cli.errors import VideoError
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.probe import probe, scan
from sharpv_cli.video.sampling import Sampling

CASES = Path(__file__).resolve().parent / "cases"
EDGES = {"left": 20, "top": 8, "right": 60, "bottom": 24}


def take(path, frames=3):
    return sample_frames(path, Sampling(frames=frames))


def cropped(images):
    return images[:, 8:-24, 20:-60]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return clips.encode(tmp_path_factory.mktemp("film") / "film.mp4", 20)


def test_a_clean_aperture_is_cropped(tmp_path, film):
    info, sample = take(clips.with_boxes(tmp_path / "a.mp4", film, clips.clap(clips.SIZE, **EDGES)))
    assert (info.width, info.height) == (80, 64)
    assert np.array_equal(sample.images, cropped(take(film)[1].images))


@pytest.mark.parametrize("edges", [(0, 0, 0, 0), (100, 0, 100, 0)])
def test_a_clean_aperture_of_all_or_nothing_is_ignored(tmp_path, film, edges):
    info, sample = take(clips.with_boxes(tmp_path / "a.mp4", film, clips.clap(clips.SIZE, *edges)))
    assert (info.width, info.height) == clips.SIZE
    assert np.array_equal(sample.images, take(film)[1].images)


def test_a_picture_is_cropped_before_it_is_turned(tmp_path, film):
    box = clips.with_boxes(tmp_path / "a.mp4", film, clips.clap(clips.SIZE, **EDGES))
    info, sample = take(clips.with_matrix(tmp_path / "b.mp4", box, (0, 1, -1, 0)))
    assert (info.width, info.height, info.rotation_deg) == (64, 80, 90)
    assert np.array_equal(sample.images, np.rot90(cropped(take(film)[1].images), -1, axes=(1, 2)))


def test_pixels_that_are_not_square_are_stretched_after_cropping(tmp_path):
    wide = clips.encode(tmp_path / "wide.mp4", 10, aspect=Fraction(2))
    info, sample = take(clips.with_boxes(tmp_path / "a.mp4", wide, clips.clap(clips.SIZE, **EDGES)))
    assert (info.width, info.height) == (160, 64)
    assert np.array_equal(sample.images, take(wide)[1].images[:, 8:-24, 40:-120])


def test_large_pictures_are_cropped_as_they_are_scaled(tmp_path):
    def framed(number, width, height):
        image = np.full((height, width, 3), 250, np.uint8)
        image[100:-100, 60:-60] = 20
        return image

    source = clips.encode(tmp_path / "large.mp4", 3, size=(1920, 1440), images=framed)
    path = clips.with_boxes(tmp_path / "a.mp4", source, clips.clap((1920, 1440), 60, 100, 60, 100))
    info, sample = take(path)
    assert (info.width, info.height) == (1800, 1240)
    height, width = sample.images.shape[1:3]
    assert width / height == pytest.approx(1800 / 1240, abs=0.005)
    assert sample.images[:, 2:-2, 2:-2].max() < 60, "a border is left"


@pytest.mark.parametrize(("profile", "compatible"), [(5, 0), (10, 0), (20, 0)])
def test_dolby_vision_without_a_layer_for_others_is_refused_by_name(tmp_path, film, profile, compatible):
    path = clips.with_boxes(tmp_path / "a.mp4", film, clips.dolby_vision(profile, compatible))
    for read in (probe, take):
        with pytest.raises(VideoError, match=f"is Dolby Vision profile {profile}, whose colours") as caught:
            read(path)
        assert "SDR" in caught.value.hint


@pytest.mark.parametrize(("profile", "compatible"), [(8, 1), (8, 4), (7, 6), (7, 0), (10, 1)])
def test_dolby_vision_with_a_layer_for_others_is_read(tmp_path, film, profile, compatible):
    path = clips.with_boxes(tmp_path / "a.mp4", film, clips.dolby_vision(profile, compatible))
    assert np.array_equal(take(path)[1].images, take(film)[1].images)


def test_dolby_vision_of_an_unknown_profile_is_said(tmp_path):
    data = (CASES / "dolby_vision_5.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data.replace(b"dvcC", b"free"))
    assert any(
        "Dolby Vision of an unknown profile" in warning for warning in take(tmp_path / "a.mp4")[1].warnings
    )


def test_a_shape_that_changes_mid_stream_is_not_squeezed(tmp_path):
    """As when a phone is turned in a call: upright pictures stand between black bars."""
    wide = clips.encode(tmp_path / "wide.ts", 10)
    tall = clips.encode(tmp_path / "tall.ts", 10, size=(96, 160), pts=lambda number: number + 10)
    path = tmp_path / "both.ts"
    path.write_bytes(wide.read_bytes() + tall.read_bytes())
    images = take(path, 20)[1].images
    assert images.shape == (20, 96, 160, 3)
    assert [clips.number_of(image) for image in images[:10]] == list(range(10))
    left = (160 - 58) // 2
    for image in images[10:]:
        assert (image[:, : left - 1] == 0).all() and (image[:, left + 59 :] == 0).all()
        assert image[60:, left + 2 : left + 56, 2].min() > 60


def test_descriptions_of_streams_leave_no_log(film, capfd):
    scan(film)
    assert av.logging.get_level() is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuva420p"])
@pytest.mark.parametrize("matrix", [8, 10, 11, 12, 13, 14, 15, 16, 17])
def test_matrices_that_are_not_converted_are_said(tmp_path, matrix, pix_fmt):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *clips.SIZE, pix_fmt
        stream.codec_context.colorspace = matrix
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(clips.numbered(number), format="rgb24")
            frame = frame.reformat(format=pix_fmt)
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    _, sample = take(path)
    assert [clips.number_of(image) for image in sample.images] == [0, 1, 2]
    assert f"the video's colour matrix ({matrix}: " in sample.warnings[0]
