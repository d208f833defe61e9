"""`python -m sharpv_cli.docs.cli > docs/cli.md`: the reference, written from the app itself."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import typer

from sharpv_cli.app import app
from sharpv_cli.commands.help import OF_DEFAULTS, PANELS, panel_of, setting_defaults
from sharpv_cli.commands.options import SETTING_OPTIONS

_HEAD = """# Command line reference

Written by `python -m sharpv_cli.docs.cli`; a test compares this file with the app.
"""

_STREAMS = """
## Streams

stdout holds the answer and one newline, or with `--json` one JSON document, and nothing else. Progress, notes,
warnings, the chart, statistics and errors go to stderr. `sharpv profile` prints its report on stdout in the same way,
or its `--json` document, or the one export whose file is `-`.

A terminal gets an answer as it comes, anything else in one write once it is complete, so that several commands may
write to one pipe (`xargs -P4`); `--stream` and `--no-stream` say otherwise.

When stderr is a terminal, or with `--stats`, a chart is drawn once the prompt has been read. The answer comes below it,
and a line with time to first token, time per token and memory ends it. On a terminal, the chart leaves room for the
question, three lines of answer and this line: where it is too low, frames are shown in groups, and then layers are left
out. Several questions have one chart, unless what was kept differs between them.

## Exit codes

| code | meaning |
|---|---|
| 0 | answered, of `check` with yes; also when the reader closed the pipe |
| 1 | unexpected: a bug; of `check`: the answer is no |
| 2 | usage, profile or config file, or an output that cannot be written |
| 3 | the video cannot be used |
| 4 | the model cannot be used |
| 5 | not enough memory, or no such device |
| 6 | several questions or videos, and some have no answer; an answer of a schema that is not complete |
| 70 | of `check`: unexpected, a bug |
| 130 | Ctrl-C; what was answered or measured so far is on stdout |
| 129, 143 | SIGHUP, SIGTERM: at once; no file is left half-written |

`SHARPV_DEBUG=1` adds the traceback to every error. `--verbose` prints on stderr what runs where, on which frames, and
how long each stage takes.

`NO_COLOR` turns colours off and `FORCE_COLOR` turns them on, in pipes as well; a dumb terminal gets no escape codes at
all, and a stream that cannot show Unicode gets ASCII. `sharpv --install-completion` sets up shell completion.
"""

_SETTINGS = f"""
## Settings

`sharpv ask`, `batch`, `profile`, `eval` and `probe` take all of these. {OF_DEFAULTS}
Keys, variables and ranges, the config file and profiles: [configuration.md](configuration.md).
"""


def reference() -> str:
    """The whole of docs/cli.md."""
    root = typer.main.get_command(app)
    commands = "".join(_command(path, command) for path, command in _walk("sharpv", root))
    return f"{_HEAD}{commands}{_SETTINGS}{_panels(_settings(root))}{_STREAMS}"


def _walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _walk(f"{path} {name}", inner)


def _settings(root: Any) -> list[Any]:
    return [parameter for parameter in root.commands["ask"].params if _is_setting(parameter)]


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


if __name__ == "__main__":
    sys.stdout.write(reference())
