"""`python -m sharpv_cli.commands.reference > docs/cli.md`: the reference, written from the app itself."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import typer

from sharpv_cli.settings import FLAGS, Settings, defaults, variable
from sharpv_cli.settings.schema import GROUPS

_HEAD = """# Command line reference

Written by `python -m sharpv_cli.commands.reference`; a test compares this file with the app.
"""

_STREAMS = """
## Streams

stdout holds the answer and one newline, or with `--json` one JSON document, and nothing else. Progress,
notes, warnings, the chart, statistics and errors are on stderr; the chart when stderr is a terminal, or with
`--stats`. Answers stream token by token, to pipes as well. `sharpv profile` puts its report on stdout in the
same way, or its `--json` document, or the one export whose file is `-`.

## Exit codes

| code | meaning |
|---|---|
| 0 | answered; also when the reader closed the pipe |
| 1 | unexpected: a bug |
| 2 | usage, profile or config file, or an output that cannot be written |
| 3 | the video cannot be used |
| 4 | the model cannot be used |
| 5 | not enough memory, or no such device |
| 130 | Ctrl-C; what was answered or measured so far is on stdout |

`SHARPV_DEBUG=1` adds the traceback to every error.
"""

_SETTINGS = """
## Settings

Precedence: flag, then variable, then profile (`-p`, `SHARPV_PROFILE`, or `profile:` in the config file), then
the config file (`~/.config/sharpv/config.yaml`, or under `XDG_CONFIG_HOME`), then the default. Keys are those
of profiles and the config file; `a.b` is `b:` under `a:`. An empty variable is unset; an unknown one is an
error. Your own profiles go into `~/.config/sharpv/profiles/NAME.yaml`; `extends: NAME` builds on another.

- Where nothing names a profile or a model, the profile is `tiny`, the built-in model. `--model` without a
  profile starts from the defaults; with one, it drops the profile's `family` and `revision`.
- `--frames` turns the strategy to uniform. `--fps` turns it to fps and lifts the profile's `max_frames`. The
  two exclude each other.

| key | flag | variable | default | meaning |
|---|---|---|---|---|
"""


def reference(app: typer.Typer) -> str:
    """The whole of docs/cli.md."""
    root = typer.main.get_command(app)
    commands = "".join(_command(path, command) for path, command in _walk("sharpv", root))
    return f"{_HEAD}{commands}{_STREAMS}{_SETTINGS}{''.join(_setting_rows())}"


def _walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _walk(f"{path} {name}", inner)


def _command(path: str, command: Any) -> str:
    about, _, examples = inspect.cleandoc(command.help or "").partition("\b\nExamples:\n")
    takes = ["COMMAND"] if hasattr(command, "commands") else ["[OPTIONS]", *_arguments(command)]
    parts = [f"\n## {path}\n", f"`{' '.join([path, *takes])}`\n", f"{about.strip()}\n"]
    if examples:
        parts.append(f"```sh\n{inspect.cleandoc(examples)}\n```\n")
    if hasattr(command, "commands"):
        parts.append("Commands: " + ", ".join(f"`{path} {name}`" for name in command.commands) + ".\n")
    parameters = [
        parameter for parameter in command.params if parameter.help and not _is_completion(parameter)
    ]
    for panel, rows in groupby(parameters, key=_panel):
        parts.append(f"{panel}:\n\n" + "".join(map(_parameter, rows)))
    return "\n".join(parts)


def _arguments(command: Any) -> list[str]:
    return [_usage(parameter) for parameter in command.params if parameter.param_type_name == "argument"]


def _is_completion(parameter: Any) -> bool:
    return parameter.name in ("install_completion", "show_completion")


def _panel(parameter: Any) -> str:
    kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
    return str(parameter.rich_help_panel or kind)


def _parameter(parameter: Any) -> str:
    return f"- `{_usage(parameter)}` {parameter.help}\n"


def _usage(parameter: Any) -> str:
    """`VIDEO`, `[QUESTION]`, `-p, --profile NAME|PATH`, `--memory / --no-memory`."""
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        return str(name if parameter.required else f"[{name}]")
    names = ", ".join(sorted(parameter.opts, key=len))
    if parameter.secondary_opts:
        return f"{names} / {', '.join(parameter.secondary_opts)}"
    return names if parameter.is_flag else f"{names} {parameter.metavar}"


def _setting_rows() -> Iterator[str]:
    flags = {key: flag for flag, key in FLAGS.items()}
    for key, default in defaults().items():
        flag = flags.get(key)
        cells = (
            f"`{key}`",
            f"`--{flag}`" if flag else "",
            f"`{variable(flag)}`" if flag else "",
            "" if default is None else f"{default}".lower() if isinstance(default, bool) else f"{default}",
            _meaning(key),
        )
        yield f"| {' | '.join(cells)} |\n"


def _meaning(key: str) -> str:
    group, _, name = key.rpartition(".")
    return (GROUPS[group] if group else Settings).model_fields[name].description or ""


if __name__ == "__main__":
    from sharpv_cli.app import app

    sys.stdout.write(reference(app))
