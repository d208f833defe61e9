"""HDR and interlaced video, against levels from ITU-R's tables and pictures whose fields are known."""

import av
import clips
import numpy as np
import pytest

from sharpv_cli.video.decoding import sample_frames
from sharpv_cli.video.sampling import Sampling

CODES = {"PQ": 16, "HLG": 18}  # ISO 23091-2, TransferCharacteristics
# BT.2087-0: linear BT.709 to linear BT.2020.
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def pq(nits):
    """SMPTE ST 2084's inverse EOTF, with its constants as decimals."""
    y = (np.asarray(nits) / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def write_hdr(path, transfer, planes, width=160, height=96):
    """One lossless picture from 10-bit planes in one array, tagged BT.2020 with this transfer function."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.colorspace, context.color_primaries = CODES[transfer], 9, 9
        context.color_range = 1  # limited
        frame = av.VideoFrame.from_ndarray(
            planes.astype(np.uint16).reshape(height * 3 // 2, width), "yuv420p10le"
        )
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def shown(tmp_path, transfer, signal, width=160, height=96):
    """A flat clip of this R'G'B' signal in 10-bit limited-range BT.2020, as it is sampled: mean RGB."""
    red, green, blue = signal
    luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    cb, cr = (blue - luma) / 1.8814, (red - luma) / 1.4746
    planes = [np.full(width * height, round(64 + 876 * luma))]
    planes += [np.full(width * height // 4, round(512 + 896 * chroma)) for chroma in (cb, cr)]
    path = write_hdr(tmp_path / "hdr.mkv", transfer, np.concatenate(planes), width, height)
    sample = sample_frames(path, Sampling(frames=1))[1]
    assert any(f"HDR ({transfer})" in warning for warning in sample.warnings)
    return sample.images[0].astype(float).mean((0, 1))


@pytest.mark.parametrize(
    ("transfer", "signal", "expected"),
    [
        # BT.2408-7, table 1: a grey card of 18 % is 26 cd/m2, 38 % of the signal in both systems; SDR's white
        # is 203 cd/m2, so that it comes out at 255 (26 / 203)^(1 / 2.4).
        ("PQ", 0.38, 108),
        ("HLG", 0.38, 108),
        # 203 cd/m2 are 58 % in PQ and 75 % in HLG; the curve bends them to 0.7387 of the peak's PQ signal
        # (0.7518), which is 158 cd/m2.
        ("PQ", 0.58, 230),
        ("HLG", 0.75, 230),
        # 1000 cd/m2, the peak, is white; so is what lies above.
        ("PQ", 0.7518, 255),
        ("PQ", 0.9, 255),
        ("HLG", 1.0, 255),
        ("PQ", 0.0, 0),
        ("HLG", 0.0, 0),
    ],
)
def test_grey_levels_of_hdr(tmp_path, transfer, signal, expected):
    assert shown(tmp_path, transfer, [signal] * 3) == pytest.approx([expected] * 3, abs=3)


@pytest.mark.parametrize("colour", [(0.3, 0, 0), (0, 0.3, 0), (0, 0, 0.3), (0.3, 0.2, 0.05)])
def test_colours_below_the_knee_keep_their_place_in_bt709(tmp_path, colour):
    signal = pq(203 * TO_BT2020 @ np.array(colour))
    expected = 255 * np.array(colour) ** (1 / 2.4)
    # Near black the gamma is steep: a level of limited-range 10 bit there is several of the result.
    error = np.abs(shown(tmp_path, "PQ", signal) - expected)
    assert (error <= np.where(expected < 20, 30, 4)).all()


def combed(number, width, height):
    """A white bar on grey that stands at column 20 in the upper field and at column 60 in the lower."""
    image = np.full((height, width, 3), 60, np.uint8)
    image[0::2, 20:40] = image[1::2, 60:80] = 220
    return image


@pytest.mark.parametrize(("name", "codec"), [("a.ts", "mpeg2video"), ("a.mp4", "libx264")])
def test_interlaced_pictures_show_one_field(tmp_path, name, codec):
    options = {"flags": "+ildct+ilme"} | (
        {"qmax": "3"} if codec == "mpeg2video" else {"x264-params": "tff=1"}
    )
    path = clips.encode(tmp_path / name, 12, codec=codec, images=combed, options=options)
    sample = sample_frames(path, Sampling(frames=3))[1]
    assert any("interlaced" in warning for warning in sample.warnings)
    for image in sample.images.astype(int):
        # One bar, in all lines; a combed picture has two, in every other one.
        assert np.abs(np.diff(image[8:-8], axis=0)).max() < 40
        bars = [image[8:-8, start + 5 : start + 15].mean() for start in (20, 60)]
        assert max(bars) > 190
        assert min(bars) < 90
