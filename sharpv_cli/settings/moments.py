"""Moments of a video in one setting: `12.5,13`, as people write them."""

from __future__ import annotations

from sharpv_cli.units import moment_of

_MOST = 10_000


def canonical(value: object) -> str:
    """The moments in seconds with commas between them, each once and in the order of time. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | list | tuple):
        raise ValueError("should be times with commas between them")  # noqa: TRY004 - pydantic collects ValueError
    parts = (
        value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    )
    if len(parts) > _MOST:
        raise ValueError(f"has {len(parts)} times, and {_MOST} are the most")
    seconds = {moment_of(str(part)) for part in parts}
    if not all(abs(moment) < float("inf") for moment in seconds):
        raise ValueError("should be finite times")
    return ",".join(f"{moment!r}".removesuffix(".0") for moment in sorted(seconds))


def moments_in(text: str) -> tuple[float, ...]:
    """The seconds that `canonical` wrote."""
    return tuple(map(float, text.split(",")))
