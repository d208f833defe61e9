"""`python -m sharpv_cli.docs.cli > docs/cli.md`: the reference, written from the app itself."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import typer

from sharpv_cli.app import app

_HEAD = """# Command line reference

Written by `python -m sharpv_cli.docs.cli`; a test compares this file with the app.
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
| 6 | several questions, and some of them have no answer |
| 130 | Ctrl-C; what was answered or measured so far is on stdout |
| 129, 143 | SIGHUP, SIGTERM: at once; no file is left half-written |

`SHARPV_DEBUG=1` adds the traceback to every error. `--verbose` says on stderr what runs where, on which frames, and
how long each stage takes.

`NO_COLOR` turns colours off and `FORCE_COLOR` on, in pipes as well; a dumb terminal gets no escape codes at all, and
a stream that cannot show Unicode gets ASCII. `sharpv --install-completion` sets up the shell's completion.
"""

_SETTINGS = """
## Settings

Every setting with its key, flag, variable, range and default, the config file and profiles:
[configuration.md](configuration.md).
"""


def reference() -> str:
    """The whole of docs/cli.md."""
    root = typer.main.get_command(app)
    commands = "".join(_command(path, command) for path, command in _walk("sharpv", root))
    return f"{_HEAD}{commands}{_STREAMS}{_SETTINGS}"


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


if __name__ == "__main__":
    sys.stdout.write(reference())
