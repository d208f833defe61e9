"""What is compared: four methods, which have parts of SharpV turned off, and the engines that run them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar, get_args

from sharpv_cli.errors import UsageError
from sharpv_cli.types import EngineName, MethodName
from sharpv_cli.types.profile import method_label

if TYPE_CHECKING:
    from sharpv_cli.settings import Settings

# Which of the two parts stay as the settings have them: Visual SharpV, Memory SharpV.
METHODS: Mapping[MethodName, tuple[bool, bool]] = MappingProxyType(
    {"dense": (False, False), "visual": (True, False), "memory": (False, True), "both": (True, True)}
)

ENGINES: tuple[EngineName, ...] = get_args(EngineName)
Name = TypeVar("Name", bound=str)


def settings_of(method: MethodName, settings: Settings) -> Settings:
    """`settings` for one method; `both` is the settings as they are."""
    visual, memory = METHODS[method]
    changes: dict[str, object] = {}
    if not visual:
        changes["visual"] = settings.visual.model_copy(update={"mode": "off"})
    if not memory:
        changes["memory"] = settings.memory.model_copy(update={"enabled": False})
    return settings.model_copy(update=changes)


def engine_settings(
    engines: Sequence[EngineName], settings: Settings
) -> Iterator[tuple[EngineName, MethodName, Settings]]:
    """The settings of each engine, first all dense ones, then `both` where that is not the same; `stock` is dense."""
    for method in ("dense", "both"):
        given = settings_of(method, settings)
        for engine in engines:
            if method == "dense" or (engine != "stock" and given != settings_of("dense", settings)):
                own = "reference" if engine == "stock" else engine
                # Stock knows no text at which an answer ends.
                generation = given.generation.model_copy(update={"stop": None})
                yield engine, method, given.model_copy(update={"engine": own, "generation": generation})


def method_names(listed: str) -> tuple[MethodName, ...]:
    """`"dense,sharpv"` as names of methods; `sharpv` is `both`. Raises UsageError."""
    given = re.sub(r"\bsharpv\b", "both", listed)
    return _names("method", given, tuple(METHODS))


def engine_names(listed: str) -> tuple[EngineName, ...]:
    """`"stock,fast"` as names of engines. Raises UsageError likewise."""
    return _names("engine", listed, ENGINES)


def _names(what: str, listed: str, known: tuple[Name, ...]) -> tuple[Name, ...]:
    """The names that are listed, in the order of the `known` ones."""
    given = [name.strip() for name in listed.split(",")]
    choice = f"choose from {', '.join(map(method_label, known))}"
    if unknown := [name for name in given if name not in known]:
        raise UsageError(f"unknown {what}: {unknown[0]!r}", hint=choice)
    if len(set(given)) < len(given):
        raise UsageError(f"the same {what} twice: {listed}", hint=choice)
    return tuple(name for name in known if name in given)
