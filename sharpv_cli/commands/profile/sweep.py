"""`--sweep KEY=VALUE,VALUE`: the settings of each value, checked like the flag of that name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sharpv_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sharpv_cli.commands.options import Flags
    from sharpv_cli.pipeline import SweptSettings
    from sharpv_cli.settings import Settings

# What can be swept, and what each value turns on beside itself: K means something in manual mode only.
KEYS: Mapping[str, Flags] = {"w": {}, "m": {}, "k": {"prune": "manual"}, "scale": {}, "frames": {}}
_EXAMPLE = "for example: --sweep w=0,0.5,1,2"


def read_sweeps(given: Sequence[str], flags: Flags, profile: str | None) -> list[SweptSettings]:
    """The settings of every value, in the order given; `flags` and `profile` are those of the command.

    Raises UsageError for what cannot be read, what the settings refuse, and a value that would change nothing.
    """
    from sharpv_cli.pipeline import SweptSettings

    points: list[SweptSettings] = []
    for text in given:
        key, values = _parse(text)
        points += [SweptSettings(key, value, _settings(key, value, flags, profile)) for value in values]
    _refuse_repeats(points)
    return points


def _parse(text: str) -> tuple[str, list[float]]:
    key, equals, listed = text.partition("=")
    if not equals or not listed:
        raise UsageError(f"--sweep {text}: no values", hint=_EXAMPLE)
    if key not in KEYS:
        raise UsageError(f"--sweep {text}: {key!r} cannot be swept", hint=f"choose from {', '.join(KEYS)}")
    return key, [_number(key, value) for value in listed.split(",")]


def _number(key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--sweep {key}: {text!r} is not a number", hint=_EXAMPLE) from None


def _settings(key: str, value: float, flags: Flags, profile: str | None) -> Settings:
    from sharpv_cli.settings import resolve

    whole = value.is_integer() and abs(value) < 1e15
    given = int(value) if whole else value  # as the user wrote it, in errors
    try:
        settings = resolve({**flags, **KEYS[key], key: given}, os.environ, profile=profile).settings
    except UsageError as error:
        problem = str(error).removeprefix(f"--{key} {given}: ")
        raise UsageError(f"--sweep {key}={given}: {problem}", hint=error.hint) from error
    _refuse_without_effect(key, settings, asked=flags.get("prune"))
    return settings


def _refuse_without_effect(key: str, settings: Settings, asked: object) -> None:
    mode = settings.visual.mode
    if key == "m" and not settings.memory.enabled:
        raise UsageError("--sweep m: Memory SharpV is off", hint="leave out --no-memory")
    if key in ("w", "scale") and mode == "off":
        raise UsageError(f"--sweep {key}: Visual SharpV is off", hint="leave out --prune off")
    if key == "scale" and mode == "manual":
        raise UsageError("--sweep scale: only --prune adaptive has a scale", hint="sweep k instead")
    if key == "k" and asked not in (None, "manual"):
        raise UsageError(
            f"--sweep k: only --prune manual has a threshold, not {asked}", hint="leave out --prune"
        )


def _refuse_repeats(points: Sequence[SweptSettings]) -> None:
    seen: set[tuple[str, float]] = set()
    for point in points:
        if (point.key, point.value) in seen:
            raise UsageError(f"--sweep {point.key}: {point.value:g} is given twice", hint="leave one out")
        seen.add((point.key, point.value))
