"""Clips that are written can be read back: frames, rate, colours; and an interrupted write leaves nothing."""

import clips
import numpy as np
import pytest

from sharpv_cli.errors import UsageError
from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.encoding import write_clip
from sharpv_cli.video.sampling import Sampling

WAYS = [
    ("a.mp4", "h264"),
    ("a.mp4", "vp9"),
    ("a.mp4", "mpeg4"),
    ("a.mkv", "h264"),
    ("a.webm", "vp9"),
    ("a.avi", "h264"),
    ("a.avi", "mpeg4"),
]


def read(path, frames=64):
    return sample_frames(path, Sampling(frames=frames))


@pytest.mark.parametrize("quality", ["high", "low"])
@pytest.mark.parametrize(("name", "codec"), WAYS)
def test_what_was_written_is_read(tmp_path, name, codec, quality):
    path = tmp_path / name
    write_clip(path, (clips.numbered(i) for i in range(12)), 29.97, codec=codec, quality=quality)
    info, sample = read(path)
    assert (info.codec, info.frames_total, info.width, info.height) == (codec, 12, *clips.SIZE)
    assert info.fps == pytest.approx(29.97, rel=0.003)
    assert [clips.number_of(image) for image in sample.images] == list(range(12))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("size", [(1280, 720), (320, 240)])
@pytest.mark.parametrize(("name", "codec"), WAYS)
def test_colours_survive(tmp_path, name, codec, size):
    colours = [(220, 40, 40), (40, 180, 60), (50, 80, 220)]
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for third, colour in enumerate(colours):
        image[:, third * size[0] // 3 :] = colour
    write_clip(tmp_path / name, [image], 10, codec=codec, quality="high")
    shown = read(tmp_path / name)[1].images[0].astype(int)
    for third, colour in enumerate(colours):
        assert np.abs(shown[size[1] // 2, (2 * third + 1) * size[0] // 6] - colour).max() <= 5


@pytest.mark.parametrize("codec", ["h264", "vp9", "mpeg4"])
def test_lower_quality_is_smaller(tmp_path, codec):
    noise = np.random.default_rng(0).integers(0, 256, (5, 64, 96, 3), np.uint8)
    sizes = []
    for quality in ("high", "medium", "low"):
        write_clip(tmp_path / "a.mkv", noise, 10, codec=codec, quality=quality)
        sizes.append((tmp_path / "a.mkv").stat().st_size)
    assert sizes[0] > 1.2 * sizes[1] > 1.44 * sizes[2]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_write_keeps_what_was_there(tmp_path, failure):
    def frames():
        yield from (clips.numbered(i) for i in range(3))
        raise failure

    (tmp_path / "a.mp4").write_bytes(b"before")
    with pytest.raises(failure):
        write_clip(tmp_path / "a.mp4", frames(), 25)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.mp4", b"before")]


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for folder in ("missing", "file"):
        path = tmp_path / folder / "a.mp4"
        with pytest.raises(UsageError, match=f"{path} cannot be written") as caught:
            write_clip(path, [clips.numbered(0)], 25)
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("size", [(161, 96), (160, 95)])
def test_odd_sizes_are_the_callers_bug(tmp_path, size):
    with pytest.raises(AssertionError):
        write_clip(tmp_path / "a.mp4", [clips.numbered(0, *size)], 25)
    assert list(tmp_path.iterdir()) == []
