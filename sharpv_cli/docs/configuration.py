"""Every setting in docs/configuration.md, from the schema itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from sharpv_cli.settings import FLAGS, Settings, defaults, variable
from sharpv_cli.settings.schema import GROUPS


def _settings() -> str:
    groups = groupby(defaults().items(), key=lambda item: item[0].rpartition(".")[0])
    return "".join(_group(name, dict(settings)) for name, settings in groups)


PARTS = {"settings": _settings}


def _group(name: str, settings: Mapping[str, object]) -> str:
    about = (GROUPS[name].__doc__ or "").strip() if name else "Settings of the whole run."
    heading = f"\n### {name or 'top level'}\n\n{about}\n\n"
    head = "| key | flag | variable | values | default | meaning |\n|---|---|---|---|---|---|\n"
    return heading + head + "".join(_row(key, default) for key, default in settings.items())


def _row(key: str, default: object) -> str:
    flag = next((flag for flag, set_key in FLAGS.items() if set_key == key), None)
    cells = (
        f"`{key}`",
        f"`--{flag}`" if flag else "",
        f"`{variable(flag)}`" if flag else "",
        _values(key),
        "unset" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`",
        _field(key).description or "",
    )
    return f"| {' | '.join(cells)} |\n"


def _field(key: str) -> Any:
    group, _, name = key.rpartition(".")
    return (GROUPS[group] if group else Settings).model_fields[name]


def _values(key: str) -> str:
    """Type and range in words: `adaptive, manual or off`, `whole number, at least 1`, `true or false`."""
    group, _, name = key.rpartition(".")
    schema = (GROUPS[group] if group else Settings).model_json_schema()["properties"][name]
    one = next((part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"), schema)
    if "enum" in one:
        return ", ".join(one["enum"][:-1]) + f" or {one['enum'][-1]}"
    return ", ".join([_TYPES[one["type"]], *_bounds(key)])


_TYPES = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
_POWERS = {2**31: "2^31", 2**63: "2^63"}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def _bounds(key: str) -> Iterator[str]:
    """From the constraints themselves: the schema of a value that may be unset leaves them out."""
    for constraint in _field(key).metadata:
        for name, words in _BOUNDS.items():
            if (bound := getattr(constraint, name, None)) is not None:
                yield f"{words} {_POWERS.get(bound, f'{bound}'.removesuffix('.0'))}"
