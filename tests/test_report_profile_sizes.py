"""How spans, ratios and counts are spelt."""

from __future__ import annotations

import pytest

from sharpv_cli.report.sizes import format_count, format_ratio, format_seconds, format_span


@pytest.mark.parametrize(
    ("low", "high", "like", "median", "span"),
    [
        (0.0119, 0.0124, 0.0121, "12.1 ms", "11.9-12.4"),
        (0.09, 0.2, 0.182, "182 ms", "90-200"),
        (0.05, 1.5, 0.09996, "100 ms", "50-1500"),
        (0.98, 4.256, 1.234, "1.23 s", "0.98-4.26"),
        (75.0, 80.26, 75.31, "75.3 s", "75.0-80.3"),
        (714.0, 744.0, 725.0, "12 min 5 s", "11.9-12.4 min"),
        (0.0, 0.0, 0.0, "0.0 ms", "0.0-0.0"),
    ],
)
def test_spans_have_the_unit_of_their_median(
    low: float, high: float, like: float, median: str, span: str
) -> None:
    assert format_seconds(like) == median
    assert format_span(low, high, like, "-") == span


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.0, "0.00x"), (0.004, "<0.01x"), (0.614, "0.61x"), (1.64, "1.64x"), (9.994, "9.99x"),
        (9.996, "10.0x"), (99.94, "99.9x"), (99.96, "100x"), (183.2, "183x"),
    ],
)  # fmt: skip
def test_ratios(ratio: float, text: str) -> None:
    assert format_ratio(ratio) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"), (999, "999"), (1000, "1.0 k"), (999_949, "999.9 k"), (999_951, "1.0 M"),
        (21.8e9, "21.8 G"), (90.7e12, "90.7 T"), (3e15, "3.0 P"),
    ],
)  # fmt: skip
def test_counts(count: float, text: str) -> None:
    assert format_count(count) == text
