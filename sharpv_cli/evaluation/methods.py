"""The methods that `sharpv eval` compares, by name: SharpV, parts of it, and its rivals. Known without torch.

A method is named `NAME[:KEY=VALUE,...][+memory]`: `sharpv:w=0.5`, `fastv:layer=3`, `evs+memory`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from sharpv_cli.errors import UsageError

if TYPE_CHECKING:
    from sharpv_cli.settings import Settings

SettingsFor = Callable[[Mapping[str, object]], "Settings"]
"""The settings of the run with some flags changed, by flag name. Raises UsageError."""

# What turns parts of SharpV off; `sharpv` is the settings as given, `manual` has the threshold K.
_SHARPV: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "dense": {"prune": "off", "memory": False},
        "sharpv": {},
        "visual": {"memory": False},
        "memory": {"prune": "off"},
        "manual": {"prune": "manual"},
    }
)
_SHARPV_FLAGS = ("w", "scale", "k", "min-tokens", "m", "positions")
# Fields of the dataclasses in sharpv_cli.pruning.methods and sharpv_cli.engine.fastv.
PARAMETERS: Mapping[str, Mapping[str, type]] = MappingProxyType(
    {
        "random-dagger": {},
        "random-star": {},
        "stride": {},
        "evs": {},
        "vidcom2": {"channels": float, "temperature": float},
        "dycoke": {},
        "fastv": {"layer": int},
        "dense-fewer-frames": {},
    }
)
DENSE, SHARPV, FASTV, FEWER_FRAMES = "dense", "sharpv", "fastv", "dense-fewer-frames"
NAMES = (*_SHARPV, *PARAMETERS)
DEFAULT_METHODS = "dense,sharpv"
_MEMORY = "+memory"
_WITHOUT_MEMORY = {
    FASTV: "FastV drops tokens inside the model by itself",
    FEWER_FRAMES: "it keeps all of the frames that it gets",
}


@dataclass(frozen=True, slots=True)
class EvalMethod:
    """One method of a comparison: `label` as the user wrote it, `name` of NAMES, its settings and parameters."""

    label: str
    name: str
    settings: Settings
    parameters: Mapping[str, int | float]

    @property
    def is_rival(self) -> bool:
        """Whether something else than SharpV prunes: it then needs a budget."""
        return self.name in PARAMETERS

    @property
    def has_scale(self) -> bool:
        """Whether SharpV's scale can be found for a budget."""
        return not self.is_rival and self.settings.visual.mode == "adaptive"


def name_of(label: str) -> str:
    """The method's name in its label."""
    return label.removesuffix(_MEMORY).partition(":")[0]


def read_methods(listed: str, settings_for: SettingsFor) -> tuple[EvalMethod, ...]:
    """`"dense,sharpv:w=0.5,evs"`, in this order. A comma before KEY=VALUE goes on with the method before it.

    Raises UsageError for a name or a key that is not known, and a value that is refused.
    """
    labels = [part.strip() for part in re.split(r",(?!\s*[\w-]+=)", listed)]
    return tuple(_read(label, settings_for) for label in labels)


def swept(given: str, settings_for: SettingsFor) -> tuple[EvalMethod, ...]:
    """`"w=0,0.5,1"` as `sharpv:w=0`, `sharpv:w=0.5`, `sharpv:w=1`; k sweeps `manual`. Raises UsageError."""
    key, _, values = given.partition("=")
    if key not in _SHARPV_FLAGS or not values:
        raise UsageError(
            f"--sweep {given}: cannot be swept",
            hint=f"for example w=0,0.5,1,2; keys: {', '.join(_SHARPV_FLAGS)}",
        )
    name = "manual" if key == "k" else "sharpv"
    return tuple(_read(f"{name}:{key}={value.strip()}", settings_for) for value in values.split(","))


def _read(label: str, settings_for: SettingsFor) -> EvalMethod:
    named, memory = label.removesuffix(_MEMORY), label.endswith(_MEMORY)
    name, colon, rest = named.partition(":")
    if name not in NAMES:
        raise UsageError(f"unknown method: {name!r}", hint=f"choose from {', '.join(NAMES)}")
    if colon and not rest:
        raise UsageError(f"{label}: nothing follows the colon", hint=_keys_hint(name))
    given = dict(_key_value(label, name, pair) for pair in rest.split(",")) if rest else {}
    try:
        if name in PARAMETERS:
            return _rival(label, name, given, memory, settings_for)
        return _part_of_sharpv(label, name, given, memory, settings_for)
    except UsageError as error:
        raise UsageError(f"method {label}: {error}", hint=error.hint) from error


def _part_of_sharpv(
    label: str, name: str, given: Mapping[str, str], memory: bool, settings_for: SettingsFor
) -> EvalMethod:
    if memory:
        raise UsageError("+memory is for methods other than SharpV", hint="leave it out")
    return EvalMethod(label, name, settings_for({**_SHARPV[name], **given}), {})


def _rival(
    label: str, name: str, given: Mapping[str, str], memory: bool, settings_for: SettingsFor
) -> EvalMethod:
    if memory and name in _WITHOUT_MEMORY:
        raise UsageError(_WITHOUT_MEMORY[name], hint="leave out +memory")
    settings = settings_for({"prune": "off", "memory": memory})
    return EvalMethod(label, name, settings, {key: _number(key, value, name) for key, value in given.items()})


def _key_value(label: str, name: str, pair: str) -> tuple[str, str]:
    key, equals, value = (part.strip() for part in pair.partition("="))
    if not equals or not value or key not in _keys(name):
        raise UsageError(f"method {label}: {pair!r} is no parameter of {name}", hint=_keys_hint(name))
    return key, value


def _keys(name: str) -> tuple[str, ...]:
    return tuple(PARAMETERS[name]) if name in PARAMETERS else _SHARPV_FLAGS


def _keys_hint(name: str) -> str:
    keys = _keys(name)
    return f"parameters of {name}: {', '.join(keys)}" if keys else f"{name} has no parameters"


def _number(key: str, value: str, name: str) -> int | float:
    kind = PARAMETERS[name][key]
    try:
        number: int | float = kind(value)
    except ValueError:
        raise UsageError(
            f"{key} should be a{'n integer' if kind is int else ' number'}, not {value!r}"
        ) from None
    if number < 1 and kind is int:
        raise UsageError(f"{key} should be at least 1, not {value}")
    return number
