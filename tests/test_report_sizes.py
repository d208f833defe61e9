"""How bytes, durations, shares and times are spelt."""

from __future__ import annotations

import pytest

from sharpv_cli.report.sizes import Clock, format_bytes, format_percent, format_seconds
from sharpv_cli.units import disk_size, memory_sizes


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024 * 1024 - 1, "1.0 MiB"),
        (346 * 2**20, "346.0 MiB"),
        (14_100_000_000, "13.1 GiB"),
        (5 * 2**40, "5.0 TiB"),
    ],
)
def test_bytes(count: int, expected: str) -> None:
    assert format_bytes(count) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, "0.0 ms"),
        (0.01214, "12.1 ms"),
        (0.09996, "100 ms"),
        (0.1823, "182 ms"),
        (0.9996, "1.00 s"),
        (4.213, "4.21 s"),
        (9.996, "10.0 s"),
        (75.26, "75.3 s"),
        (119.96, "2 min 0 s"),
        (725.4, "12 min 5 s"),
    ],
)
def test_seconds(seconds: float, expected: str) -> None:
    assert format_seconds(seconds) == expected


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (0.0, "0.0%"),
        (1e-9, "<0.1%"),
        (0.1224, "12.2%"),
        (0.99949, "99.9%"),
        (0.9999, ">99.9%"),
        (1.0, "100.0%"),
    ],
)
def test_percent_says_none_and_all_only_when_exact(ratio: float, expected: str) -> None:
    assert format_percent(ratio) == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0.0], ["0:00.0"]),
        ([0.0, 59.96], ["0:00.0", "1:00.0"]),
        ([0.0, 0.033, 0.067], ["0:00.00", "0:00.03", "0:00.07"]),
        ([0.0, 0.1, 0.2], ["0:00.0", "0:00.1", "0:00.2"]),
        ([9.5, 700.25], ["00:09.5", "11:40.2"]),
        ([1.0, 3723.0], ["0:00:01", "1:02:03"]),
        ([3600.0, 3600.5], ["1:00:00.0", "1:00:00.5"]),
    ],
)
def test_times_have_equal_digits_and_differ(times: list[float], expected: list[str]) -> None:
    clock = Clock.for_times(times)
    assert [clock.format(time) for time in times] == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (16_060_522_240, "16.1 GB"),
        (5 * 10**15, "5000000.0 GB"),
    ],
)
def test_disk_sizes_are_decimal(count: int, expected: str) -> None:
    assert disk_size(count) == expected


def test_sizes_that_are_compared_share_the_largest_ones_unit() -> None:
    assert memory_sizes([3 << 30, 1 << 29]) == ["3.0 GiB", "0.5"]
    assert memory_sizes([1 << 20, 0]) == ["1.0 MiB", "0.0"]
