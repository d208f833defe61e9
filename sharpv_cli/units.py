"""Sizes in words: memory in binary units, as tools for it count; disks and downloads in decimal ones, as pages do."""

from __future__ import annotations

import re
from collections.abc import Sequence

_BINARY = ("KiB", "MiB", "GiB", "TiB")
_DECIMAL = ("kB", "MB", "GB")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
TIME_FORMS = "12.5 or 90s, 0:30, 1:02:03.5, or -10 from the end"
_CLOCK = re.compile(r"(-?)(?:([0-9]{1,6}):(?=[0-5]?[0-9]:))?([0-9]{1,6}):([0-5]?[0-9](?:\.[0-9]{1,9})?)")
_ALIKE = ((1 << 30, "GiB"), (1 << 20, "MiB"))


def memory_size(count: int) -> str:
    """`count` bytes in binary units with one decimal: `512 B`, `2.4 MiB`, `13.1 GiB`."""
    return f"{count} B" if count < 1024 else _divided(count, 1024, _BINARY)


def memory_sizes(counts: Sequence[int]) -> list[str]:
    """Byte counts in the largest's unit, which the first carries: `18.4 GiB`, then `15.2`, `1.1`."""
    scale, unit = next(((s, u) for s, u in _ALIKE if max(counts) >= s), _ALIKE[-1])
    first, *rest = [f"{count / scale:.1f}" for count in counts]
    return [f"{first} {unit}", *rest]


def disk_size(count: int) -> str:
    """`count` bytes in decimal units with one decimal: `512 B`, `20.4 kB`, `40.6 MB`, `16.1 GB`."""
    return f"{count} B" if count < 1000 else _divided(count, 1000, _DECIMAL)


def parameter_count(count: int) -> str:
    """As model cards say it: `8.03 B`, `10.7 M`."""
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.1f} M"


def _divided(count: float, base: int, units: Sequence[str]) -> str:
    """In the first unit in which fewer than `base` are shown, else in the last."""
    *smaller, largest = units
    for unit in smaller:
        count /= base
        if round(count, 1) < base:
            return f"{count:.1f} {unit}"
    return f"{count / base:.1f} {largest}"


def moment_of(text: str) -> float:
    """Seconds of `12.5`, `90s`, `0:30` or `1:02:03.5`, below 0 with a minus before it. Raises ValueError."""
    if (found := _CLOCK.fullmatch(text.strip())) is not None:
        sign, hours, minutes, seconds = found.groups()
        count = 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)
        return -count if sign else count
    try:
        return float(text.strip().removesuffix("s"))
    except ValueError:
        raise ValueError(f"should be a time: {TIME_FORMS}") from None


def seconds_of(duration: str) -> float:
    """Seconds of `90s`, `5m`, `1.5h`, `forever` (infinity), or a bare number of them. Raises ValueError."""
    if duration == "forever":
        return float("inf")
    number, unit = (duration[:-1], duration[-1:]) if duration[-1:] in _SECONDS else (duration, "s")
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", number):
        raise ValueError("should be a time such as 5m, 90s or 1h, or forever, or 0")
    return float(number) * _SECONDS[unit]
