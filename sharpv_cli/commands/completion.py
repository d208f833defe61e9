"""Which shell `--install-completion` and `--show-completion` are for: the one that is named, or that this runs in."""

from __future__ import annotations

import os

from typer._completion_shared import _get_shell_name

from sharpv_cli.errors import UsageError

_OPTIONS = ("--install-completion", "--show-completion")
_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
_TAKE_A_NAME = "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"  # Typer's options do, where this is set


def find_shell(arguments: list[str]) -> None:
    """Let Typer take a shell's name. Raises UsageError without one where this runs in none that can be found.

    Typer looks at the processes above this one, which in some containers there are none of or cannot be seen.
    """
    if not arguments or arguments[0] not in _OPTIONS:
        return
    if arguments[1:2]:
        os.environ[_TAKE_A_NAME] = "1"
        return
    if (found := _get_shell_name()) not in _SHELLS:
        where = f"in {found}, which has none" if found else "in no shell that can be found"
        raise UsageError(
            f"{arguments[0]}: this runs {where}", hint=f"name one: sharpv {arguments[0]} {'|'.join(_SHELLS)}"
        )
