"""`python -m sharpv_cli.docs.configuration > docs/configuration.md`: every setting, from the schema itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from sharpv_cli.settings import FLAGS, Settings, defaults, variable
from sharpv_cli.settings.schema import GROUPS

_HEAD = """# Configuration

Written by `python -m sharpv_cli.docs.configuration`; a test compares this file with the schema.

## Where a setting comes from

The first of these that says something wins:

1. a flag: `--frames 16`
2. a variable: `SHARPV_FRAMES=16`
3. the profile: `-p NAME|PATH`, else `SHARPV_PROFILE`, else `profile:` in the config file, else `tiny`
4. the config file
5. the default

`sharpv ask ... --show-settings` prints each value with its origin on stderr, `sharpv models show NAME` those of a
profile, and `sharpv doctor` says which files were found and what is wrong with them.

## The config file

`~/.config/sharpv/config.yaml`, or `$XDG_CONFIG_HOME/sharpv/config.yaml` where that variable holds an absolute path.
Any setting below may stand in it, and `profile:`, the profile to use where nothing else names one:

```yaml
profile: llava-ov-7b
device: cuda:1
video:
  timeout: 60
```

A profile's values come before those of the config file, and the shipped profiles set all that suits their model: a
`sampling.frames` here would not be used, and a note says so. To change a profile, write one of your own.

## Profiles

A profile is one YAML file with the settings that suit a model. Your own go into `~/.config/sharpv/profiles/NAME.yaml`
(the same folder under `$XDG_CONFIG_HOME`) and are used by name; `-p ./file.yaml` takes a file from anywhere. A profile
may also hold `description:`, one line for people, and `extends:`, the name or path of a profile that it builds on:

```yaml
description: the paper's model, on short clips
extends: llava-ov-7b
sampling:
  frames: 16
```

A profile of yours hides the shipped one of its name, and may extend it. Unknown keys, values out of range and keys
given twice are errors that name the file and the line. An empty variable is unset; an unknown `SHARPV_*` variable is
an error.

## What follows from what

- Where nothing names a profile or a model, the profile is `tiny`, the built-in model. `--model` without a profile
  starts from the defaults; with one, it drops the profile's `family` and `revision`.
- `--frames` turns the strategy to uniform. `--fps` turns it to fps and lifts the profile's `max_frames`. The two
  exclude each other.

## Every setting

`a.b` is `b:` under `a:`.
"""

_TAIL = """
## Other variables

| variable | meaning |
|---|---|
| `SHARPV_PROFILE` | the profile, as `-p` |
| `SHARPV_DEBUG` | 1: a traceback with every error |
| `NO_COLOR` | any value: no colours |
| `FORCE_COLOR` | any value but 0: colours in pipes as well |
| `COLUMNS`, `LINES` | the width of charts and tables, and how high a chart may be |
| `HF_HOME`, `HF_HUB_CACHE` | where models are kept |
| `HF_HUB_OFFLINE` | 1: never touch the network |
| `TMPDIR` | where a video from stdin is copied to |
"""


def configuration() -> str:
    """The whole of docs/configuration.md."""
    groups = groupby(defaults().items(), key=lambda item: item[0].rpartition(".")[0])
    return _HEAD + "".join(_group(name, dict(settings)) for name, settings in groups) + _TAIL


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


if __name__ == "__main__":
    sys.stdout.write(configuration())
