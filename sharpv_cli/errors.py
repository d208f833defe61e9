"""Every error a user can meet. Each says what happened, with the user's own value, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence

from sharpv_cli.text import without_secrets


class SharpvError(Exception):
    """Base of the errors that are shown as `error:` and `hint:` instead of a traceback.

    `exit_code` is the process's exit status; `hint` is the next step, one sentence, or None. Addresses in them lose
    what proves who asks, wherever the error is told or stored.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(without_secrets(message))
        self.hint = None if hint is None else without_secrets(hint)


class UsageError(SharpvError):
    """The command line, a profile, the config file or an output target cannot be used (exit 2)."""

    exit_code = 2


class VideoError(SharpvError):
    """The video cannot be used: missing, not a video, nothing decodable (exit 3)."""

    exit_code = 3


class ModelError(SharpvError):
    """The model cannot be used: missing, damaged, unknown family, attention backend not usable (exit 4)."""

    exit_code = 4


class ResourceError(SharpvError):
    """Not enough memory, or no such device (exit 5)."""

    exit_code = 5


class ShortageError(ResourceError):
    """The machine had too little of `what` just now (exit 5): nobody's fault, and the next try may do."""

    def __init__(self, message: str, *, hint: str | None = None, what: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.what = what


def bug_code(arguments: Sequence[str]) -> int:
    """The exit code of a command that a bug of ours ends: 1, which of `check` would be an answer."""
    return 70 if arguments[:1] == ["check"] else SharpvError.exit_code


def unforeseen(error: BaseException) -> SharpvError:
    """What nobody expected, as the failure of one of many pieces of work (exit 1): the others go on."""
    return SharpvError(
        f"unexpected {type(error).__name__}: {error}",
        hint="this is a bug in sharpv: report it as an issue, with the video if you can",
    )
