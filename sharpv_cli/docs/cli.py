"""The commands and options in docs/cli.md, from the app itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import typer

from sharpv_cli.app import app
from sharpv_cli.commands.help import PANELS, panel_of, setting_defaults
from sharpv_cli.commands.options import SETTING_OPTIONS


def _commands() -> str:
    return "".join(_command(path, command) for path, command in _walk("sharpv", _root()))


def _settings() -> str:
    parameters = _root().commands["ask"].params
    return _panels([parameter for parameter in parameters if _is_setting(parameter)])


PARTS = {"commands": _commands, "settings": _settings}


def _root() -> Any:
    return typer.main.get_command(app)


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
    told = [one for one in command.params if one.help and not (_is_completion(one) or _hidden(one))]
    settings = [one for one in told if _is_setting(one)]
    if len(settings) < len(SETTING_OPTIONS):
        return "\n".join(parts) + _panels(told)
    own = [one for one in told if one not in settings]
    return "\n".join(parts) + _panels(own) + "\nAnd all [settings](#settings).\n"


def _panels(parameters: list[Any]) -> str:
    """The parameters as lists, one for each group, in the order of the help."""
    named = sorted(parameters, key=lambda parameter: PANELS.index(panel_of(parameter)))
    groups = groupby(named, key=panel_of)
    return "".join(f"\n{panel}:\n\n" + "".join(map(_parameter, rows)) for panel, rows in groups)


def _arguments(command: Any) -> list[str]:
    return [_usage(parameter) for parameter in command.params if parameter.param_type_name == "argument"]


def _is_completion(parameter: Any) -> bool:
    return parameter.name in ("install_completion", "show_completion")


def _is_setting(parameter: Any) -> bool:
    return str(parameter.name).replace("_", "-") in SETTING_OPTIONS


def _hidden(parameter: Any) -> bool:
    return bool(getattr(parameter, "hidden", False))


def _parameter(parameter: Any) -> str:
    default = setting_defaults().get(parameter.name)
    told = f" [default: {default}]" if default else ""
    return f"- `{_usage(parameter)}` {parameter.help}{told}\n".replace("  [", " [")


def _usage(parameter: Any) -> str:
    """`VIDEO`, `[QUESTION]`, `-p, --profile NAME|PATH`, `--memory / --no-memory`."""
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        return str(name if parameter.required else f"[{name}]")
    names = ", ".join(sorted(parameter.opts, key=len))
    if parameter.secondary_opts:
        return f"{names} / {', '.join(parameter.secondary_opts)}"
    assert parameter.is_flag or parameter.metavar, f"give {names} a metavar"
    return names if parameter.is_flag else f"{names} {parameter.metavar}"
