"""A command's process as the one that holds the model sees it, and what it wants done, as work on a conveyor."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Literal

from sharpv_cli import shortage
from sharpv_cli.errors import SharpvError
from sharpv_cli.types import Waiting
from sharpv_cli.video import wire
from sharpv_cli.warm.channel import Told, Wish, told_of, without_pictures
from sharpv_cli.warm.keeper import Keeper

_PLACE_SEC = 1.0  # that work waits before its place in line is told


class Front:
    """The process, and the `folder` and `umask` of its command; threads of their own hear and tell.

    `keeper` is told whom the model works for; `changed` is called whenever something has happened.
    """

    def __init__(
        self, connection: Connection, folder: str, umask: int, keeper: Keeper, changed: Callable[[], object]
    ) -> None:
        self._connection = connection
        self._folder, self._umask = folder, umask
        self.keeper, self.changed = keeper, changed
        self._telling: SimpleQueue[Told | None] = SimpleQueue()
        Thread(target=self._tell_all, daemon=True).start()

    def attend(self, begin: Callable[[Work], object], place: Callable[[Work], int]) -> None:
        """Until the process has gone: `begin` what it wants, and tell the `place` in line of what has to wait."""
        work: Work | None = None
        with ExitStack() as stack:
            stack.callback(self._telling.put, None)
            stack.callback(lambda: None if work is None else work.hear("leave"))
            stack.enter_context(suppress(EOFError, OSError))
            while True:
                if not self._connection.poll(_PLACE_SEC):
                    if work is not None and (count := place(work)) > 0:
                        self.tell(Told("place", work.number, count))
                    continue
                wish: Wish = self._connection.recv()
                if wish.kind == "work":
                    work = Work(self, wish)
                    begin(work)
                elif work is not None and wish.number == work.number:
                    work.hear(wish.kind)

    def tell(self, told: Told) -> None:
        """Soon: whoever does not read, because nobody reads from it, holds up nobody else."""
        self._telling.put(told)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, names of files mean what they mean to the command, and new ones are as open as its own."""
        mask = os.umask(self._umask)
        self.keeper.now = self
        try:
            os.chdir(self._folder)
            yield
        finally:
            self.keeper.now = None
            os.chdir("/")
            os.umask(mask)

    def _tell_all(self) -> None:
        with self._connection:
            while (told := self._telling.get()) is not None:
                with suppress(ConnectionError):  # it is gone, which `attend` finds out
                    wire.send(self._connection, told)


class Work:
    """One thing that a command wants done."""

    def __init__(self, front: Front, wish: Wish) -> None:
        self.front, self.number = front, wish.number
        self._wish = wish
        self.has_begun = False
        self.is_over = False
        self._interrupted = self._left = False
        self.bug: BaseException | None = None

    def hear(self, what: str) -> None:
        """Ctrl-C ("interrupt"), which is raised where the work waits next, or tells something; or nobody wants it."""
        self._interrupted |= what == "interrupt"
        self._left |= what == "leave"
        self.front.changed()

    def steps(self) -> Generator[Waiting]:
        """The work, piece by piece; what it tells goes to who wants it, and so does how it ends."""
        assert self._wish.work is not None
        self.has_begun = True
        with ExitStack() as stack:
            stack.callback(self._end)
            stack.push(self._fail)
            doing = self._wish.work()
            stack.callback(self._close, doing)
            while not self._left:
                try:
                    with self._surrounded():
                        told = self._advanced(doing)
                except StopIteration as end:
                    self._tell("end", end.value, self.front.keeper.news())
                    return
                if isinstance(told, Waiting):
                    yield told
                else:
                    self._tell("item", told if self._wish.pictures else without_pictures(told))

    def _advanced(self, doing: Generator[Any, None, Any]) -> object:
        if self._interrupted:
            self._interrupted = False
            return doing.throw(KeyboardInterrupt())
        return next(doing)

    @contextmanager
    def _surrounded(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(self.front.in_place())
            if self._wish.verbose:
                stack.enter_context(warnings.catch_warnings())
                warnings.simplefilter("default")
                warnings.showwarning = self._warn
            yield

    def _warn(
        self, message: Warning | str, category: type[Warning], filename: str, *_: object, **__: object
    ) -> None:
        self._tell("warning", (str(message), category.__name__, filename))

    def _close(self, doing: Generator[Any, None, Any]) -> None:
        with self._surrounded():
            doing.close()

    def _tell(
        self, kind: Literal["item", "end", "error", "warning"], value: object, news: str | None = None
    ) -> None:
        self.front.tell(Told(kind, self.number, value, news))
        self.front.changed()

    def _fail(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        """Its failure is told, and no other work's; what stays of a bug of ours is not trusted."""
        if error is None or kind is GeneratorExit:
            return False
        known = isinstance(error, SharpvError | KeyboardInterrupt) or shortage.lack(error) is not None
        self.bug = None if known else error
        self._tell("error", told_of(error))
        return True

    def _end(self) -> None:
        self.is_over = True
        self.front.keeper.over(self.front)
        self.front.changed()
