"""`sharpv warm`: the process that keeps a model loaded between commands."""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import partial
from pathlib import Path

import typer

from sharpv_cli import session, signals, terminal
from sharpv_cli.commands.options import Flags, JsonOption, ProfileOption, takes_settings
from sharpv_cli.commands.preparing import check_model, read_settings
from sharpv_cli.errors import ResourceError
from sharpv_cli.units import memory_size
from sharpv_cli.warm import address, client

app = typer.Typer(
    rich_markup_mode=None,
    invoke_without_command=True,
    help="Show, start or stop the process that keeps a model loaded.",
)


@app.callback()
def show(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the process that keeps a model loaded between commands: model, device, memory, time without use.

    `sharpv ask` starts it by itself and uses it; it ends when nobody has used it for --keep-warm (5 minutes).

    \b
    Examples:
      sharpv warm
      sharpv warm start -p llava-ov-7b --keep-warm forever
      sharpv warm stop
    """
    if context.invoked_subcommand is not None:
        return
    status = client.status(_socket())
    if as_json:
        fields = {} if status is None else asdict(status)
        terminal.write_json({"schema": "sharpv.warm/1", "running": status is not None, **fields})
    else:
        terminal.write_answer(f"{_said(status)}\n")


@app.command("start")
@takes_settings
def start(flags: Flags, profile: ProfileOption = None) -> None:
    """Load a model now and keep it, so that the first question does not wait for it.

    \b
    Examples:
      sharpv warm start
      sharpv warm start -p llava-ov-7b --keep-warm 1h
    """
    if not signals.stays():
        raise ResourceError(
            "no process that keeps a model loaded could be started",
            hint="`--keep-warm 0` and the variable CI forbid it; else `sharpv warm` says what is missing",
        )
    resolved = read_settings(flags, profile)
    check_model(resolved)
    with terminal.Progress() as progress, terminal.heavy_imports():
        progress.stage("loading the model")
        for _ in session.done(partial(session.hold, resolved.settings)):
            pass


@app.command("stop")
def stop() -> None:
    """End the process and free its memory; a command that it runs is finished first.

    \b
    Examples:
      sharpv warm stop
    """
    if not client.stop(_socket()):
        terminal.say("note", "no process keeps a model loaded")


def _socket() -> Path:
    """Raises ResourceError where there can be no such process."""
    path = address.socket_path(os.environ)
    if path is None:
        raise ResourceError(
            "no model can be kept loaded here: there is no private folder for a socket",
            hint="set XDG_RUNTIME_DIR to a folder of your own with a short name; commands work without",
        )
    return path


def _said(status: client.Status | None) -> str:
    if status is None:
        return "no model is kept loaded"
    model = f"{status.model} on {status.device} ({status.dtype})" if status.model else "no model yet"
    stays = "until `sharpv warm stop`"
    if status.keep_sec is not None:
        stays = f"for {max(0.0, status.keep_sec - status.idle_sec):.0f} s more without use"
    held = memory_size(status.memory_bytes + status.device_bytes)
    if status.clips:
        held += f", {status.clips} clip{'s' * (status.clips != 1)} at hand"
    return f"{model}, {held}, process {status.process}, stays {stays}"
