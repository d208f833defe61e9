"""The decoding benchmark tells right frames and times from wrong ones, and says what it measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from sharpv_cli.benchmarks import barcode_clips, decoding_speed
from sharpv_cli.benchmarks.barcode_clips import BarcodeClip, read_number
from sharpv_cli.benchmarks.decoding_readers import SHARPV, Reader, Taken
from sharpv_cli.benchmarks.decoding_speed import Measured, exactness, main, measure, table

SIZE = (320, 192)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The benchmark's own clips, shorter and smaller."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(barcode_clips, "SIZE", SIZE)
        patch.setattr(
            barcode_clips,
            "_RECIPES",
            [
                barcode_clips._Recipe("even", 48, lambda index: index),
                barcode_clips._Recipe("uneven", 60, barcode_clips._uneven),
            ],
        )
        folder = tmp_path_factory.mktemp("clips")
        yield folder, barcode_clips.barcode_clips(folder)


def picture(number):
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    barcode_clips._write_number(image, number)
    return image


@pytest.mark.parametrize("number", [0, 1, 14_399, 43_690, 65_535])
def test_a_number_is_read_back(number):
    assert read_number(picture(number)) == number


def test_sharpv_is_exact_on_the_clips(small):
    for clip in small[1]:
        assert exactness(clip, 8, SHARPV.read(clip.path, 8)) == (8, pytest.approx(0.0, abs=1e-9))


def test_wrong_frames_and_wrong_times_are_counted():
    clip = BarcodeClip("even", Path("none.mp4"), np.arange(48))
    # Four sample times of 2 s at 24 fps: 0.25, 0.75, 1.25 and 1.75 s, frames 6, 18, 30 and 42.
    right = [6, 18, 30, 42]
    times = [number / 24 for number in right]
    assert exactness(clip, 4, Taken([picture(number) for number in right], times)) == (4, 0.0)
    late = [picture(number) for number in (6, 18, 31, 43)]
    assert exactness(clip, 4, Taken(late, times)) == (2, pytest.approx(1 / 24))
    assert exactness(clip, 4, Taken([picture(60_000)], [0.0])) == (0, None)


def test_loaders_take_turns_and_a_slow_one_sits_out():
    clip = BarcodeClip("even", Path("none.mp4"), np.arange(48))
    calls = []

    def reader(name):
        def read(path, n):
            calls.append(name)
            return Taken([picture(6)], [0.25])

        return Reader(name, "1", read)

    rows = measure(clip, 1, [reader("a"), reader("b")], runs=3, budget_sec=60)
    assert calls == ["a", "b"] * 4
    assert [len(row.seconds) for row in rows] == [3, 3]
    assert len(measure(clip, 1, [reader("a")], runs=3, budget_sec=0.0)[0].seconds) == 1


def test_the_table_divides_by_sharpv():
    rows = [
        Measured("sharpv", "even", 8, (0.2, 0.1, 0.4), 8, 0.0),
        Measured("other", "even", 8, (0.5, 0.3, 0.9), 7, None),
    ]
    ours, other = table(rows).splitlines()[2:]
    assert ours == "| even | 8 | sharpv | 0.200 | 0.100 - 0.400 | 3 | 1.00 | 8/8 | 0.0000 |"
    assert other == "| even | 8 | other | 0.500 | 0.300 - 0.900 | 3 | 2.50 | 7/8 | no frame |"


def test_the_command_prints_a_table_and_writes_json(small, tmp_path, monkeypatch, capsys):
    folder, _ = small
    monkeypatch.setattr(decoding_speed, "readers", lambda: ([SHARPV], ["other: not here"]))
    out = tmp_path / "speed.json"
    assert main(["--clips", str(folder), "--frames", "3", "--runs", "2", "--json", str(out)]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("| sharpv |") == 2
    assert "missing: ['other: not here']" in shown.out
    document = json.loads(out.read_text())
    assert document["schema"] == "sharpv.decoding-speed/1"
    assert [row["on_screen"] for row in document["rows"]] == [3, 3]
    assert main(["--clips", str(folder), "--frames", "3", "--runs", "1", "--json", str(folder)]) == 2
    assert "cannot be written" in capsys.readouterr().err
