"""Settings by dotted keys: `sampling.frames`, `device`."""

from __future__ import annotations

import re

from pydantic import ValidationError

from sharpv_cli.settings.schema import GROUPS, Settings


def defaults() -> dict[str, object]:
    """Every dotted key (`sampling.frames`, `device`) with its default, in the order of the YAML."""
    return flatten(Settings().model_dump())


def flatten(nested: dict[str, object]) -> dict[str, object]:
    """`{"visual": {"w": 1.0}, "device": "cpu"}` as `{"visual.w": 1.0, "device": "cpu"}`."""
    flat: dict[str, object] = {}
    for name, value in nested.items():
        inner = value if isinstance(value, dict) and name in GROUPS else None
        flat |= {name: value} if inner is None else {f"{name}.{key}": item for key, item in inner.items()}
    return flat


def nest(flat: dict[str, object]) -> dict[str, object]:
    """The inverse of `flatten`."""
    nested: dict[str, object] = {}
    for dotted, value in flat.items():
        group, dot, key = dotted.partition(".")
        if not dot:
            nested[group] = value
            continue
        inner = nested.setdefault(group, {})
        assert isinstance(inner, dict), dotted
        inner[key] = value
    return nested


def first_problem(error: ValidationError) -> tuple[str, str]:
    """The dotted key (of a group, where several values contradict each other) and what is wrong with it."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"] if str(part) in key_parts())
    problem = first["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    return key, re.sub(r"\b92233720368547\d+", "2^63", problem)  # which pydantic sometimes rounds


def key_parts() -> set[str]:
    """The names that occur in dotted keys (pydantic puts the branches of unions beside them)."""
    return {part for key in defaults() for part in key.split(".")}
