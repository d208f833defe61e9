"""From flags, environment, profile, config file and defaults to one `Settings`, with each value's origin."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

import yaml
from pydantic import ValidationError

from sharpv_cli.errors import UsageError
from sharpv_cli.folders import user_folder
from sharpv_cli.settings.dotted import defaults, first_problem, nest
from sharpv_cli.settings.profiles import SettingsFile, profile_chain, read, shipped_folder
from sharpv_cli.settings.schema import Settings
from sharpv_cli.text import printable, shown

DEFAULT_PROFILE = "tiny"
NO_PROFILE = "none"

_OTHER_NAMES = {"model.id": "model", "visual.mode": "prune", "memory.enabled": "memory"}
_IN_FILES_ONLY = {"model.family", "sampling.strategy", "prompt.system", "prompt.prefix", "prompt.suffix"}

FLAGS = {
    _OTHER_NAMES.get(key) or key.rpartition(".")[2].replace("_", "-"): key
    for key in defaults()
    if key not in _IN_FILES_ONLY
}
"""The long flag of a setting (also SHARPV_<FLAG>, with underscores and capitals) and the key that it sets."""
_OTHER_VARIABLES = ("SHARPV_PROFILE", "SHARPV_DEBUG")

_Layer = dict[str, tuple[object, str]]  # dotted key -> value, origin


@dataclass(frozen=True, slots=True)
class Resolved:
    """The settings of a run. `origins` has every dotted key: `flag --w`, `SHARPV_W`, `profile tiny`,
    `config file` or `default`. `profile_source` is `shipped`, a path, or `default` where no profile applies.
    `overruled` are the keys of the config file that the profile sets otherwise.
    """

    settings: Settings
    origins: Mapping[str, str]
    profile_name: str
    profile_source: str
    description: str | None
    overruled: tuple[str, ...] = ()

    @property
    def told(self) -> dict[str, object]:
        """What documents say of it, in their block `profile`."""
        settings = self.settings.model_dump()
        return {"name": self.profile_name, "source": self.profile_source, "settings": settings}


def resolve(
    flags: Mapping[str, object], environ: Mapping[str, str], *, profile: str | None = None
) -> Resolved:
    """Precedence: flag > SHARPV_* > profile > config file > default; None in `flags` is unset.

    `flags` goes by the names of FLAGS. The profile is `profile`, else SHARPV_PROFILE, else the config file's;
    the built-in `tiny` only where nothing names a profile or a model, because its values serve its model.
    Raises UsageError, with the value, where it came from, and what is allowed.
    """
    config = _read_config(environ)
    explicit = _explicit(_flag_layer(flags), _variable_layer(environ))
    name = profile
    if name is None:
        name = environ.get("SHARPV_PROFILE") or (config.profile if config else None)
    if name is None and "model.id" not in explicit and not (config and "model.id" in config.values):
        name = DEFAULT_PROFILE
    chain = [] if name is None else profile_chain(name, environ)
    below: _Layer = {key: (value, "default") for key, value in defaults().items()}
    for layer in [_config_layer(config), *map(_profile_layer, reversed(chain))]:
        below |= layer
    merged = below | explicit
    configured = config.values if config else {}
    return Resolved(
        settings=_validate(merged, below),
        origins={key: origin for key, (_, origin) in merged.items()},
        profile_name=chain[0].path.stem if chain else NO_PROFILE,
        profile_source=source(chain[0]) if chain else "default",
        description=next((file.description for file in chain if file.description), None),
        overruled=tuple(
            key for key, value in configured.items() if merged[key][0] != value and key not in explicit
        ),
    )


def in_place(before: Mapping[str, object], own: Mapping[str, object]) -> dict[str, object]:
    """Flags by the names of FLAGS, with a question's or a row's `own` in their place.

    Of the ways to say which frames are taken, its own replaces any other; a limit to the rate goes with the rate.
    """
    dropped: set[str] = set()
    if not own.keys().isdisjoint(_WAY_FLAGS):
        dropped = {*_WAY_FLAGS} if "fps" in own else {*_WAY_FLAGS, "max-frames"}
    return {**{name: value for name, value in before.items() if name not in dropped}, **own}


def source(file: SettingsFile) -> str:
    """`shipped`, or the path of a user's own profile."""
    return "shipped" if file.path.parent == shipped_folder() else str(file.path)


def as_yaml(resolved: Resolved) -> str:
    """The settings as a profile's YAML, each value with its origin beside it as a comment."""
    lines: list[str] = []
    for name, value in resolved.settings.model_dump().items():
        if isinstance(value, dict):
            lines.append(f"{name}:")
            lines += [
                _yaml_line(f"  {key}", item, resolved.origins[f"{name}.{key}"]) for key, item in value.items()
            ]
        else:
            lines.append(_yaml_line(name, value, resolved.origins[name]))
    return "\n".join(lines) + "\n"


def _yaml_line(key: str, value: object, origin: str) -> str:
    scalar = yaml.safe_dump(value, width=10**6, allow_unicode=True).removesuffix("...\n").strip()
    return f"{f'{key}: {scalar}':<44} # {printable(origin)}"


def _read_config(environ: Mapping[str, str]) -> SettingsFile | None:
    folder = user_folder("config", environ)
    path = folder / "config.yaml" if folder else None
    return read(path, top=("profile",)) if path and path.exists() else None


def _config_layer(config: SettingsFile | None) -> _Layer:
    return {key: (value, "config file") for key, value in config.values.items()} if config else {}


def _profile_layer(file: SettingsFile) -> _Layer:
    return {key: (value, f"profile {file.path.stem}") for key, value in file.values.items()}


def _flag_layer(flags: Mapping[str, object]) -> _Layer:
    for name in flags.keys() - FLAGS.keys():  # of a Python program: the command knows its options
        near = difflib.get_close_matches(name, FLAGS, n=1, cutoff=0.0)[0].replace("-", "_")
        raise UsageError(f"there is no setting {shown(name.replace('-', '_'))}", hint=f"did you mean {near}?")
    return {FLAGS[name]: (value, f"flag --{name}") for name, value in flags.items() if value is not None}


def variable(flag: str) -> str:
    """The environment variable of a flag: `max-frames` is SHARPV_MAX_FRAMES."""
    return "SHARPV_" + flag.upper().replace("-", "_")


def _variable_layer(environ: Mapping[str, str]) -> _Layer:
    """An empty variable is unset; a misspelt one would silently do nothing, so it is an error."""
    known = {variable(flag): key for flag, key in FLAGS.items()}
    given = {name: value for name, value in environ.items() if name.startswith("SHARPV_") and value}
    for name in given:
        if name not in known and name not in _OTHER_VARIABLES:
            near = difflib.get_close_matches(name, [*known, *_OTHER_VARIABLES], n=1, cutoff=0.0)
            raise UsageError(f"unknown variable {name} in the environment", hint=f"did you mean {near[0]}?")
    return {known[name]: (value, name) for name, value in given.items() if name in known}


def _explicit(flags: _Layer, variables: _Layer) -> _Layer:
    """What the user asked for in this run, with what follows from it.

    A rate, a number of frames or times decide the strategy, a rate lifts the profile's `max_frames`, and another model
    drops the profile's revision and family.
    """
    for layer in (flags, variables):
        _refuse_several_ways(layer)
    if not flags.keys().isdisjoint(_WAYS):
        variables = {key: value for key, value in variables.items() if key not in _WAYS}
    explicit = variables | flags
    for key, implied in _IMPLIED.items():
        if key in explicit:
            origin = explicit[key][1]
            explicit = {name: (value, origin) for name, value in implied.items()} | explicit
    return explicit


_IMPLIED: dict[str, dict[str, object]] = {
    "sampling.fps": {"sampling.strategy": "fps", "sampling.max_frames": None},
    "sampling.frames": {"sampling.strategy": "uniform"},
    "sampling.at": {"sampling.strategy": "at"},
    "model.id": {"model.revision": None, "model.family": None},
}


_WAYS = ("sampling.fps", "sampling.frames", "sampling.at")  # to say which frames are taken
_WAY_FLAGS = tuple(flag for flag, key in FLAGS.items() if key in _WAYS)
_BOUNDS = ("sampling.start", "sampling.end")  # of the others, while moments stand by themselves


def _refuse_several_ways(layer: _Layer) -> None:
    given = [_said(key, layer[key][1], layer[key][0]) for key in (*_WAYS, *_BOUNDS) if key in layer]
    ways = sum(key in layer for key in _WAYS)
    if ways > 1 or ("sampling.at" in layer and len(given) > 1):
        raise UsageError(
            f"{given[0]} and {given[1]} exclude each other",
            hint="give the number of frames, the rate (with --max-frames as its limit), or times",
        )


def _said(key: str, origin: str, value: object) -> str:
    """The value as the user wrote it: `--w -1`, `SHARPV_W=-1`, `visual.w: -1 (profile tiny)`, `--model ''`."""
    value = _plain(value)
    if origin.startswith("flag "):
        return f"{origin.removeprefix('flag ')} {value}"
    return f"{origin}={value}" if origin.startswith("SHARPV_") else f"{key}: {value} ({origin})"


def _plain(value: object) -> str:
    """`1`, not `1.0`: what is read as a number was not always written as one."""
    text = str(value).removesuffix(".0") if isinstance(value, float) else str(value)
    return text if text.strip() else repr(value)


def _validate(merged: _Layer, below: _Layer) -> Settings:
    """`below` is what would hold without flags and variables."""
    try:
        return Settings.model_validate(nest({key: value for key, (value, _) in merged.items()}))
    except ValidationError as error:
        key, problem = first_problem(error)
        if key not in merged:  # a rule over a whole group names its values itself
            raise UsageError(f"{key}: {problem}", hint="change one of the two") from error
        value, origin = merged[key]
        raise UsageError(f"{_said(key, origin, value)}: {problem}", hint=_hint(key, merged, below)) from error


def _hint(key: str, merged: _Layer, below: _Layer) -> str:
    """What would be used instead of a wrong value."""
    value, origin = below[key] if merged[key] != below[key] else (defaults()[key], "default")
    return f"without it, {'none' if value is None else _plain(value)} is used ({origin})"
