"""stderr: one console for all that is not the answer, and how much of it is said."""

from __future__ import annotations

import os
import sys
import textwrap
import traceback
import warnings
from collections.abc import Iterator
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TextIO

from sharpv_cli.errors import SharpvError, UsageError
from sharpv_cli.text import encodable, printable, printable_lines, shortened, without_secrets

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

_STYLES = {"error": "bold red", "hint": "cyan", "warning": "yellow", "note": "dim", "detail": "dim"}
_COPIED = {"error", "hint"}  # paths and commands
_HUSHED = {"quiet": {"warning", "note", "detail"}, "normal": {"detail"}, "verbose": set[str]()}

_level: Literal["quiet", "normal", "verbose"] = "normal"


@cache
def stderr() -> Console:
    """The one console for everything that is not the answer. Respects NO_COLOR, dumb terminals and ASCII."""
    return console_on(sys.stderr)


def console_on(stream: TextIO | None) -> Console:
    """A console on `stream` that shows what foreign text would have a terminal do.

    FORCE_COLOR gives colours to a pipe, without making it a terminal. Left to itself, Rich would take FORCE_COLOR=0 for
    a wish and draw progress into pipes.
    """
    from rich.console import Console
    from rich.segment import Segment
    from rich.theme import Theme

    class Shown(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:
            """Here all text passes, apart from Rich's own sequences; it lets through those of others."""
            for segment in super().render(renderable, options):
                text = segment.text if segment.control else printable_lines(segment.text)
                yield segment if text == segment.text else Segment(text, segment.style)

        def on_broken_pipe(self) -> None:
            """Nobody reads the chart and the notes any more; the answer on stdout goes on."""
            self.quiet = True
            to_devnull(2)

    on_terminal = stream is not None and stream.isatty()
    forced = os.environ.get("FORCE_COLOR", "") not in ("", "0")
    return Shown(
        stderr=stream is sys.stderr,
        theme=Theme(_STYLES),
        highlight=False,
        force_terminal=on_terminal,
        color_system="auto" if on_terminal else "standard" if forced else None,
    )


def debug() -> bool:
    """Whether tracebacks are wanted (SHARPV_DEBUG=1)."""
    return os.environ.get("SHARPV_DEBUG", "") not in ("", "0")


def start_over() -> None:
    """Forget what an earlier command in this process set; libraries' notes to their callers are not for users."""
    global _level
    _level = "normal"
    stderr.cache_clear()
    warnings.resetwarnings()
    if not debug():
        warnings.simplefilter("ignore")  # ours are in Answer.warnings


def set_level(*, quiet: bool = False, verbose: bool = False) -> None:
    """How much `say` says: quiet leaves errors and hints; verbose adds details, stage times, library warnings.

    Raises UsageError for both at once.
    """
    global _level
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other", hint="leave out one of them")
    _level = "quiet" if quiet else "verbose" if verbose else "normal"
    if verbose:
        warnings.simplefilter("default")
        warnings.showwarning = _say_warning


def is_verbose() -> bool:
    """Whether details are said."""
    return _level == "verbose"


def _say_warning(
    message: Warning | str, category: type[Warning], filename: str, *_: object, **__: object
) -> None:
    """A library's note to its callers, with the module that gave it."""
    say_warning(str(message), category.__name__, filename)


def say_warning(message: str, category: str, filename: str) -> None:
    """A library's note, wherever it came from; only with --verbose."""
    module = filename.rpartition("site-packages/")[2]
    say("detail", f"{category} in {module}: {message}")


def say(label: str, text: str) -> None:
    """One line on stderr, `label: text`, the text as it is: no markup, control characters spelt out.

    `label` is error, hint, warning, note or detail; what the level hushes is not said, nor the secrets of addresses. On
    a terminal what is only read is broken between words; what may be copied, the terminal folds itself. A full or
    closed stderr is no reason to fail.
    """
    if label in _HUSHED[_level]:
        return
    from rich.text import Text

    said = encodable(shortened(printable(without_secrets(text))), stderr().encoding)
    head, *rest = _lines(label, f"{label}: {said}")
    show(Text.assemble((f"{label}:", label), head.removeprefix(f"{label}:")), soft_wrap=True)
    for line in rest:
        show(Text(line), soft_wrap=True)


def _lines(label: str, said: str) -> list[str]:
    if label in _COPIED or not stderr().is_terminal:
        return [said]
    return textwrap.wrap(said, stderr().width, break_long_words=False, break_on_hyphens=False)


def show(what: RenderableType, *, soft_wrap: bool = False) -> None:
    """A chart, a table or text on stderr; a string as it is, without markup."""
    from rich.text import Text

    try:
        if isinstance(what, str):
            what = Text(encodable(printable_lines(what), stderr().encoding))
        stderr().print(what, soft_wrap=soft_wrap)
    except OSError:
        stderr().quiet = True


def lines_left(text: str) -> int | None:
    """How many lines of the terminal on stderr are free beside `text`; None where it is no terminal."""
    from rich.text import Text

    console = stderr()
    return console.height - len(Text(text).wrap(console, console.width)) if console.is_terminal else None


def report_error(error: SharpvError) -> None:
    """`error:` and `hint:` of an expected error; its traceback too with SHARPV_DEBUG=1."""
    if debug():
        _show_traceback(error)
    say("error", str(error))
    if error.hint:
        say("hint", error.hint)


def report_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A `sys.excepthook` for what nobody expected: one line, and how to report it. The process exits 1."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    if debug():
        _show_traceback(error)
        return
    say("error", f"unexpected {kind.__name__}: {error}")
    say(
        "hint",
        "this is a bug in sharpv; run it again with SHARPV_DEBUG=1 and report the traceback as an issue",
    )


def _show_traceback(error: BaseException) -> None:
    show("".join(traceback.format_exception(error)).rstrip(), soft_wrap=True)


def to_devnull(descriptor: int) -> None:
    """The interpreter flushes again when it ends: give that flush somewhere to go."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, descriptor)
    os.close(devnull)


def draws() -> bool:
    """Whether lines that move are drawn."""
    console = stderr()
    return _level != "quiet" and console.is_terminal and not console.is_dumb_terminal
