"""The terminal: what goes to stdout, what goes to stderr, and what happens when one of them is gone.

Rich is imported where it draws: otherwise it would take half of the time of `sharpv --help`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings
from contextlib import ExitStack, suppress
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NoReturn, Self, TextIO

from sharpv_cli import signals
from sharpv_cli.errors import SharpvError, UsageError
from sharpv_cli.text import encodable, printable, shortened

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.spinner import Spinner

INTERRUPTED = 130
_STYLES = {"error": "bold red", "hint": "cyan", "warning": "yellow", "note": "dim", "detail": "dim"}
_HUSHED = {"quiet": {"warning", "note", "detail"}, "normal": {"detail"}, "verbose": set[str]()}
_QUIET_START_SEC = 0.5
_SHOW_CURSOR = b"\r\x1b[2K\x1b[?25h"

# KeyboardInterrupt must not be raised while torch is imported.
heavy_imports = signals.uninterruptible


_level: Literal["quiet", "normal", "verbose"] = "normal"


class ReaderClosed(Exception):  # noqa: N818 - not an error: the reader has seen enough
    """Whoever read our output closed the pipe; the process ends quietly with exit 0."""


@cache
def stderr() -> Console:
    """The one console for everything that is not the answer. Respects NO_COLOR, dumb terminals and ASCII."""
    from rich.console import Console

    class Stderr(Console):
        def on_broken_pipe(self) -> None:
            """Nobody reads the chart and the notes any more; the answer on stdout goes on."""
            self.quiet = True
            _to_devnull(2)

    return _console(Stderr, sys.stderr)


def _console(kind: type[Console], stream: TextIO | None) -> Console:
    """A console on `stream`; FORCE_COLOR gives colours to a pipe, without making it a terminal.

    Left to itself, Rich would take FORCE_COLOR=0 for a wish and draw progress into pipes.
    """
    from rich.theme import Theme

    on_terminal = stream is not None and stream.isatty()
    forced = os.environ.get("FORCE_COLOR", "") not in ("", "0")
    return kind(
        stderr=stream is sys.stderr,
        theme=Theme(_STYLES),
        highlight=False,
        force_terminal=on_terminal,
        color_system="auto" if on_terminal else "standard" if forced else None,
    )


def debug() -> bool:
    """Whether tracebacks are wanted (SHARPV_DEBUG=1)."""
    return os.environ.get("SHARPV_DEBUG", "") not in ("", "0")


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
    module = filename.rpartition("site-packages/")[2]
    say("detail", f"{category.__name__} in {module}: {message}")


def say(label: str, text: str) -> None:
    """One line on stderr, `label: text`, the text as it is: no markup, no wrapping, control characters spelt out.

    `label` is error, hint, warning, note or detail; what the level hushes is not said. A full or closed stderr
    is no reason to fail.
    """
    if label in _HUSHED[_level]:
        return
    from rich.text import Text

    said = encodable(shortened(printable(text)), stderr().encoding)
    show(Text.assemble((f"{label}:", label), " ", said), soft_wrap=True)


def show(what: RenderableType, *, soft_wrap: bool = False) -> None:
    """A chart, a table or text on stderr; a string as it is, without markup."""
    from rich.text import Text

    try:
        if isinstance(what, str):
            what = Text(encodable(what, stderr().encoding))
        stderr().print(what, soft_wrap=soft_wrap)
    except OSError:
        stderr().quiet = True


def report_error(error: SharpvError) -> None:
    """`error:` and `hint:` of an expected error; its traceback too with SHARPV_DEBUG=1."""
    if debug():
        sys.__excepthook__(type(error), error, error.__traceback__)
    say("error", str(error))
    if error.hint:
        say("hint", error.hint)


def report_crash(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """A `sys.excepthook` for what nobody expected: one line, and how to report it. The process exits 1."""
    if debug() or issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    say("error", f"unexpected {kind.__name__}: {error}")
    say(
        "hint",
        "this is a bug in sharpv; run it again with SHARPV_DEBUG=1 and report the traceback as an issue",
    )


def require_stdout() -> None:
    """Raise UsageError when stdout was closed (`>&-`), before the model is loaded for nothing."""
    if sys.stdout is None:
        raise UsageError("stdout is closed, so the answer has nowhere to go", hint="leave out `>&-`")


def write_answer(text: str) -> None:
    """Write to stdout and flush, exactly the text: no wrapping, markup or emoji.

    Characters that the stream's encoding lacks are written as escapes. Raises ReaderClosed when the reader
    closed the pipe, UsageError when stdout is closed or cannot be written (a full disk).
    """
    require_stdout()
    try:
        sys.stdout.write(encodable(text, sys.stdout.encoding or "utf-8"))
        sys.stdout.flush()
    except BrokenPipeError as error:
        _to_devnull(1)
        raise ReaderClosed from error
    except OSError as error:
        _to_devnull(1)
        raise UsageError(f"cannot write the answer to stdout: {error.strerror}") from error


def write_report(what: RenderableType) -> None:
    """A drawn result on stdout: with its colours on a terminal, as plain text without trailing blanks in a pipe.

    It is 80 columns wide where nothing says otherwise (the terminal, COLUMNS). Raises as `write_answer` does.
    """
    from rich.console import Console

    require_stdout()
    console = _console(Console, sys.stdout)
    with console.capture() as drawn:
        console.print(what)
    lines = drawn.get().splitlines()
    write_answer("".join(f"{line if console.is_terminal else line.rstrip()}\n" for line in lines))


def _to_devnull(descriptor: int) -> None:
    """The interpreter flushes again when it ends: give that flush somewhere to go."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, descriptor)
    os.close(devnull)


def leave(code: int) -> NoReturn:
    """End the process. After a failure at once: a thread that still loads the model would hold it for long."""
    if code and threading.active_count() > 1:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with suppress(OSError):
                stream.flush()
        signals.run_cleanups()
        os._exit(code)
    sys.exit(code)


def _draws(console: Console) -> bool:
    """Whether lines that move are drawn."""
    return _level != "quiet" and console.is_terminal and not console.is_dumb_terminal


class Progress:
    """The stage that runs, on stderr, when that is a terminal and the stage takes over half a second.

    Rich's Live would take over sys.stdout as well, and a piped answer would vanish: it is told not to, and it
    is stopped before the first token. A `still` one is drawn when a stage begins and then left alone: it takes
    no time from what is being measured.
    """

    def __init__(self, *, still: bool = False) -> None:
        from rich.live import Live
        from rich.spinner import Spinner

        console = stderr()
        spinner = Spinner("line" if console.options.ascii_only else "dots")
        self._view = _Stage(spinner, quiet_sec=0.0 if still else _QUIET_START_SEC)
        self._live = Live(
            self._view,
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            refresh_per_second=10,
            auto_refresh=not still,
        )
        self._leaving = ExitStack()
        self._still = still
        self._enabled = _draws(console)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stage(self, name: str) -> None:
        """Say what runs from now on; verbose, how long the stage before it took."""
        if name == self._view.name:
            return
        self._view.end()
        self._view.begin(name)
        if self._enabled and not self._live.is_started:
            # Raw bytes: where a signal ends the process, Rich's lock may be held.
            self._leaving.enter_context(signals.on_leaving(lambda: os.write(2, _SHOW_CURSOR)))
            self._live.start()
        if self._enabled and self._still:
            self._live.refresh()

    def stop(self) -> None:
        """Take the line off the screen."""
        if self._live.is_started:
            self._live.stop()
            self._leaving.close()
        self._view.end()


class _Stage:
    """Draws nothing until its stage has lasted for `quiet_sec`."""

    def __init__(self, spinner: Spinner, quiet_sec: float) -> None:
        self._spinner = spinner
        self._quiet_sec = quiet_sec
        self.name = ""
        self._since = time.monotonic()

    def begin(self, name: str) -> None:
        self._spinner.update(text=name, style="note")
        self.name, self._since = name, time.monotonic()

    def end(self) -> None:
        if self.name:
            say("detail", f"{self.name} took {time.monotonic() - self._since:.2f} s")
            self.name = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if time.monotonic() - self._since >= self._quiet_sec:
            yield self._spinner


class Transfer:
    """Bytes on their way, on stderr, when that is a terminal: a bar, how many, how fast, how long still.

    It is drawn from the first `show` on, which may come from another thread.
    """

    def __init__(self, total_bytes: int | None = None) -> None:
        from rich import progress

        console = stderr()
        self._bars = progress.Progress(
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bars.add_task("", total=total_bytes)
        self._enabled = _draws(console)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def show(self, count: int, total_bytes: int | None = None) -> None:
        """Say that `count` bytes have come so far, and how many there will be where that is known by now."""
        if self._enabled and not self._bars.live.is_started:
            self._bars.start()
        self._bars.update(self._task, completed=count, total=total_bytes)

    def stop(self) -> None:
        """Take the bar off the screen."""
        if self._bars.live.is_started:
            self._bars.stop()
