"""How figures are spelt, in one place, so that every report says the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sharpv_cli.units import memory_size

format_bytes = memory_size

# Seconds below which a duration is shown so: times, decimals, unit. From the last on it is minutes and seconds.
_DURATIONS = ((0.09995, 1e3, 1, "ms"), (0.9995, 1e3, 0, "ms"), (9.995, 1.0, 2, "s"), (119.95, 1.0, 1, "s"))
_CLOCK_DIGITS = 3  # finest: milliseconds


def format_seconds(seconds: float) -> str:
    """A duration to about three digits: `12.1 ms`, `182 ms`, `4.21 s`, `75.3 s`, `12 min 5 s`."""
    for limit, scale, digits, unit in _DURATIONS:
        if seconds < limit:
            return f"{seconds * scale:.{digits}f} {unit}"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def format_span(low: float, high: float, like: float, dash: str) -> str:
    """Durations `low` to `high` with the unit and digits that `format_seconds(like)` has.

    The unit is left out, as it stands with `like`; minutes are followed by theirs: `11.9–12.4`, `11.9–12.4 min`.
    """
    for limit, scale, digits, _ in _DURATIONS:
        if like < limit:
            return f"{low * scale:.{digits}f}{dash}{high * scale:.{digits}f}"
    return f"{low / 60:.1f}{dash}{high / 60:.1f} min"


def format_ratio(ratio: float) -> str:
    """One figure over another: `0.61x`, `1.64x`, `12.3x`, `183x`."""
    if 0 < ratio < 0.005:
        return "<0.01x"
    digits = 2 if ratio < 9.995 else 1 if ratio < 99.95 else 0
    return f"{ratio:.{digits}f}x"


def format_floor(ratio: float) -> str:
    """A time over the least that the device could take: `1.4x`, `183x`."""
    return f"{ratio:.{0 if ratio >= 99.95 else 1}f}x"


def format_count(count: float) -> str:
    """A large count in powers of 1000 with one decimal: `512`, `21.8 G`, `90.7 T`."""
    if count < 1000:
        return f"{count:.0f}"
    for unit in "kMGT":
        count /= 1000
        if round(count, 1) < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} P"


def format_percent(ratio: float) -> str:
    """A ratio in [0, 1] with one decimal. `0.0%` and `100.0%` mean exactly none and all."""
    if 0 < ratio < 0.0005:
        return "<0.1%"
    if 0.9995 <= ratio < 1:
        return ">99.9%"
    return f"{ratio:.1%}"


@dataclass(frozen=True, slots=True)
class Clock:
    """Prints positions in a video, all with the same digits: `0:07.5`, `1:02:03`."""

    decimals: int
    minute_digits: int
    hours: bool

    @classmethod
    def for_times(cls, seconds: Sequence[float]) -> Clock:
        """The shortest clock on which the rising times `seconds` still differ."""
        gap = min((b - a for a, b in pairwise(seconds)), default=1.0)
        last = seconds[-1]
        decimals = 0 if last >= 3600 else 1
        while decimals < _CLOCK_DIGITS and gap < 10**-decimals - 1e-6:
            decimals += 1
        return cls(decimals, minute_digits=2 if last >= 600 else 1, hours=last >= 3600)

    def format(self, seconds: float) -> str:
        scale = 10**self.decimals
        whole, part = divmod(round(seconds * scale), scale)
        fraction = f".{part:0{self.decimals}d}" if self.decimals else ""
        minutes, second = divmod(whole, 60)
        hours, minutes = divmod(minutes, 60) if self.hours else (0, minutes)
        start = f"{hours}:" if self.hours else ""
        return f"{start}{minutes:0{self.minute_digits}d}:{second:02d}{fraction}"
