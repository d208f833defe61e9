"""The four methods that are compared everywhere: the settings as given, and with parts of SharpV turned off."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from sharpv_cli.errors import UsageError
from sharpv_cli.types import MethodName

if TYPE_CHECKING:
    from sharpv_cli.settings import Settings

# Which of the two parts stay as the settings have them: Visual SharpV, Memory SharpV.
METHODS: Mapping[MethodName, tuple[bool, bool]] = MappingProxyType(
    {"dense": (False, False), "visual": (True, False), "memory": (False, True), "both": (True, True)}
)


def settings_of(method: MethodName, settings: Settings) -> Settings:
    """`settings` for one method; `both` is the settings as they are."""
    visual, memory = METHODS[method]
    changes: dict[str, object] = {}
    if not visual:
        changes["visual"] = settings.visual.model_copy(update={"mode": "off"})
    if not memory:
        changes["memory"] = settings.memory.model_copy(update={"enabled": False})
    return settings.model_copy(update=changes)


def method_names(listed: str) -> tuple[MethodName, ...]:
    """`"dense,both"` as names of methods. Raises UsageError for an unknown name, a repeated one, or none."""
    given = [name.strip() for name in listed.split(",")]
    choice = f"choose of {', '.join(METHODS)}"
    if unknown := [name for name in given if name not in METHODS]:
        raise UsageError(f"unknown method: {unknown[0]!r}", hint=choice)
    if len(set(given)) < len(given):
        raise UsageError(f"a method is named twice: {listed}", hint=choice)
    return tuple(name for name in METHODS if name in given)
