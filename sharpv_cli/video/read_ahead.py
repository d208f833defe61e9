"""Videos read ahead of the model in child processes: one that crashes its reader costs its own questions only."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from sys import getswitchinterval, setswitchinterval
from threading import Condition, Lock
from time import monotonic
from typing import Generic, Self, TypeVar

from sharpv_cli.cores import cores
from sharpv_cli.shortage import Attempt
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.shares import Shares

# Processor time of reading, by all readers together, for which a further one is worth its start: ten times what that
# takes. Where readers have less than a processor each, because others use it or a disk is slow, it takes them longer.
_WORK_SEC, _MOST_SLOWNESS = 2.0, 4.0
# A thread that waits for a child gets its turn so soon beside one that computes; with the 5 ms that Python gives, the
# ten or so turns of a small video take longer than to decode it.
_TURN_SEC = 0.0005

T = TypeVar("T")
R = TypeVar("R")


class ReadAhead(Generic[T, R]):
    """`read(reader, item)` for item after item, by at most `readers` at a time, which begin as they are worth it.

    A context manager; the children end with it. `share` is the cores that each reader plans with, those that these
    readers leave to each by default. One that `is_open` is given further items while somebody waits for the `first`.
    """

    def __init__(
        self,
        read: Callable[[IsolatedReader, T], R],
        *,
        readers: int = 1,
        share: int | None = None,
        is_open: bool = False,
    ) -> None:
        assert readers >= 1, readers
        self._read = read
        self._pool = ThreadPoolExecutor(readers, "decode")
        self._at_work = False  # one thread at least
        self._share = share or Shares.of(cores(), readers).reader
        self._readers: list[IsolatedReader] = []
        self._idle: list[IsolatedReader] = []
        self._wanting: deque[Future[IsolatedReader]] = deque()
        self._all_busy_since = self._took_sec = self._cpu_sec = 0.0
        self._lock = Lock()  # of these
        self._turns_before = getswitchinterval()
        self._begun: list[tuple[T, Future[R]]] = []
        self._more: Iterator[T] = iter(())
        self._changed = Condition()
        self._is_open = is_open
        self._abandoned = False

    def __enter__(self) -> Self:
        setswitchinterval(min(self._turns_before, _TURN_SEC))
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        """After an error or Ctrl-C nobody waits for a video that may hang its reader."""
        if kind is not None:
            self._abandon()
        self._pool.shutdown(cancel_futures=True)
        for reader in self._readers:
            reader.__exit__()
        setswitchinterval(self._turns_before)

    def feed(self, items: Iterable[T], *, ahead: int) -> None:
        """Have `first` give all of them, and begin at most `ahead` before they are asked for.

        This bounds the memory that frames take. One reader gives them in their order.
        """
        self._more = iter(items)
        for item in islice(self._more, ahead):
            self.give(item)

    def give(self, item: T) -> None:
        """Begin one that `first` gives."""
        coming = self.begin(item)
        with self._changed:
            self._begun.append((item, coming))
            self._changed.notify()
        coming.add_done_callback(self._tell)

    def first(self, *, wait: bool) -> tuple[T, Future[R]] | None:
        """Of the items that were given, the first that has been read: a slow one keeps no other waiting.

        None where there is none now, or with `wait` none any more.
        """
        found = self._found(wait=wait)
        if found is not None:
            for item in islice(self._more, 1):
                self.give(item)
        return found

    def _found(self, *, wait: bool) -> tuple[T, Future[R]] | None:
        with self._changed:
            while True:
                for place, (_, coming) in enumerate(self._begun):
                    if coming.done():
                        return self._begun.pop(place)
                if not (wait and (self._begun or self._is_open)):
                    return None
                self._changed.wait()

    def _tell(self, _: Future[R]) -> None:
        with self._changed:
            self._changed.notify()

    def begin(self, item: T) -> Future[R]:
        """Read one more when its turn comes. Where no more threads can be had, by those that there are."""
        coming: Future[R] = Future()
        try:
            self._pool.submit(self._one, item, coming)
            self._at_work = True
        except RuntimeError as error:  # the pool has taken it nevertheless, and does it if it has a thread
            if not self._at_work:
                coming.set_exception(error)
        return coming

    def _one(self, item: T, coming: Future[R]) -> None:
        if coming.done():  # there was no thread for it, and now there is one for a later item
            return
        with Attempt("reading a video") as attempt:  # all of it: what is not told is waited for for ever
            coming.set_result(self._with_reader(item))
        if attempt.error is not None:
            coming.set_exception(attempt.error)

    def _with_reader(self, item: T) -> R:
        reader = self._reader()
        began, used = monotonic(), reader.cpu_sec
        try:
            return self._read(reader, item)
        finally:
            with self._lock:
                self._took_sec += monotonic() - began
                self._cpu_sec += reader.cpu_sec - used
                self._pass_on(reader)

    def _reader(self) -> IsolatedReader:
        """One that is idle, or the next that is given back, or a further one once that is worth it."""
        with self._lock:
            if self._idle:
                self._all_busy_since = monotonic()
                return self._idle.pop()
            turn: Future[IsolatedReader] = Future()
            self._wanting.append(turn)
        while True:
            with self._lock:
                wait = self._worth_another() - monotonic()
                if wait <= 0 and not turn.done():
                    self._add()
            with suppress(TimeoutError):
                return turn.result(max(0.0, wait))

    def _worth_another(self) -> float:
        """When all readers, busy since then without a pause, will have worked for so long."""
        if not self._readers:
            return 0.0
        slowness = self._took_sec / self._cpu_sec if self._cpu_sec else 1.0
        seconds = _WORK_SEC * min(max(slowness, 1.0), _MOST_SLOWNESS)
        return self._all_busy_since + seconds / len(self._readers)

    def _add(self) -> None:
        self._all_busy_since = monotonic()
        self._readers.append(reader := IsolatedReader(self._share))
        if self._abandoned:
            reader.abandon()
        self._pass_on(reader)

    def _pass_on(self, reader: IsolatedReader) -> None:
        """To who has waited longest: were it free for all, the thread that gives it back would be the first."""
        if self._wanting:
            self._wanting.popleft().set_result(reader)
        else:
            self._idle.append(reader)

    def _abandon(self) -> None:
        with self._lock:
            self._abandoned = True
            for reader in self._readers:
                reader.abandon()
