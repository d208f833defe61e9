"""`sharpv doctor`: what this machine has for `sharpv ask`, and what is missing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from sharpv_cli import terminal
from sharpv_cli.commands.options import JsonOption, ProfileOption

if TYPE_CHECKING:
    from sharpv_cli.models.environment import Check


def doctor(profile: ProfileOption = None, as_json: JsonOption = False) -> None:
    """Show what `sharpv ask` would run on, and what is missing: versions, devices, attention, cache, settings.

    Exit 0 when nothing is missing for `sharpv ask`, else the code that it would end with; each problem comes
    with the next step. Nothing is downloaded and no model is loaded.

    \b
    Examples:
      sharpv doctor
      sharpv doctor -p llava-ov-7b
      sharpv doctor --json | jq -r ".checks[].problem | values"
    """
    from sharpv_cli.commands.doctor.checking import groups
    from sharpv_cli.report.checks import doctor_document, exit_code

    terminal.require_stdout()
    done: list[Check] = []
    for checks in groups(profile):
        done += checks
        if not as_json:
            _write(checks)
    if as_json:
        terminal.write_json(doctor_document(done))
    else:
        _conclude(done)
    raise typer.Exit(exit_code(done))


def _write(checks: list[Check]) -> None:
    """A table on a terminal; whole lines in a pipe."""
    from sharpv_cli.report.checks import CheckTable, plain_lines

    if sys.stdout.isatty():
        terminal.write_report(CheckTable(checks))
    else:
        terminal.write_answer(plain_lines(checks))


def _conclude(checks: list[Check]) -> None:
    """On stderr: the result on stdout is complete without it."""
    stops = [check for check in checks if check.exit_code is not None]
    if not stops:
        terminal.say("note", "nothing is missing for `sharpv ask`")
    for check in stops:
        terminal.say("error", f"{check.problem}")
        if check.hint:
            terminal.say("hint", check.hint)
