"""Lines that move, on stderr, where that is a terminal: the stage that runs, bytes on their way."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from sharpv_cli import signals
from sharpv_cli.terminal.messages import draws, say, stderr

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.progress import ProgressColumn
    from rich.spinner import Spinner

_QUIET_START_SEC = 0.5
_EACH_SEC = 60.0  # how often progress is told where nothing is drawn
_SHOW_CURSOR = b"\r\x1b[2K\x1b[?25h"


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
        self._enabled = draws()

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

    def hide(self) -> None:
        """Take the line off the screen; the stage goes on."""
        if self._live.is_started:
            self._live.stop()
            self._leaving.close()

    def stop(self) -> None:
        """Take the line off the screen; the stage is over."""
        self.hide()
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


class _Bar:
    """One of Rich's bars on stderr, where lines that move are drawn. A context manager; the bar is gone at its end."""

    def __init__(self, *columns: ProgressColumn, total: int | None, done: int = 0) -> None:
        from rich.progress import BarColumn, Progress

        self._bars = Progress(
            BarColumn(),
            *columns,
            console=stderr(),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bars.add_task("", total=total, completed=done)
        self._enabled = draws()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def begin(self) -> None:
        if self._enabled and not self._bars.live.is_started:
            self._bars.start()

    def stop(self) -> None:
        """Take the bar off the screen."""
        if self._bars.live.is_started:  # else Rich would print an empty line
            self._bars.stop()


class Transfer(_Bar):
    """Bytes on their way: how many, how fast, how long still.

    It is drawn from the first `show` on, which may come from another thread.
    """

    def __init__(self, total_bytes: int | None = None) -> None:
        from rich import progress

        super().__init__(
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            total=total_bytes,
        )

    def show(self, count: int, total_bytes: int | None = None) -> None:
        """Say that `count` bytes have come so far, and how many there will be where that is known by now."""
        self.begin()
        self._bars.update(self._task, completed=count, total=total_bytes)


class Counting(_Bar):
    """Pieces of work that are done of those there are, with the time left: a bar, or where none is drawn a line each
    minute. `show` may come as often as it likes.
    """

    def __init__(self, total: int, done: int = 0) -> None:
        from rich import progress

        super().__init__(
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(compact=True),
            progress.TextColumn("{task.description}", markup=False),
            total=total,
            done=done,
        )
        self._total, self._done, self._at_first = total, done, done
        self._began = self._told = time.monotonic()

    def __enter__(self) -> Self:
        self.begin()
        return self

    def show(self, text: str) -> None:
        """One more piece is done; `text` stands beside the bar."""
        self._done += 1
        self._bars.update(self._task, advance=1, description=text)
        if not self._enabled and time.monotonic() - self._told > _EACH_SEC:
            self._told = time.monotonic()
            left = (self._told - self._began) / (self._done - self._at_first) * (self._total - self._done)
            say("note", f"{self._done} of {self._total}, about {left / 60:.0f} min left  {text}")
