"""Videos read ahead of the model in child processes: one that crashes its reader costs its own questions only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from math import inf
from queue import Empty, SimpleQueue
from threading import Condition, Lock
from time import monotonic
from typing import Generic, Self, TypeVar

from sharpv_cli.cores import cores
from sharpv_cli.shortage import Attempt
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.shares import Shares

_START_SEC = 0.5  # of a child, which takes as much processor time as some dozens of small videos

T = TypeVar("T")
R = TypeVar("R")


class ReadAhead(Generic[T, R]):
    """`read(reader, item)` for item after item, by at most `readers` at a time, which begin as they are needed.

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
        self._idle: SimpleQueue[IsolatedReader] = SimpleQueue()
        self._begun: list[tuple[T, Future[R]]] = []
        self._more: Iterator[T] = iter(())
        self._changed = Condition()
        self._is_open = is_open
        self._growing = Lock()
        self._grown = -inf
        self._abandoned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        """After an error or Ctrl-C nobody waits for a video that may hang its reader."""
        if kind is not None:
            self._abandon()
        self._pool.shutdown(cancel_futures=True)
        for reader in self._readers:
            reader.__exit__()

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
        reader = self._reader()
        with Attempt("reading a video") as attempt:
            coming.set_result(self._read(reader, item))
        self._idle.put(reader)
        if attempt.error is not None:
            coming.set_exception(attempt.error)

    def _reader(self) -> IsolatedReader:
        """One that is idle; a further one where all have been busy for as long as it takes to start."""
        while True:
            with suppress(Empty):
                return self._idle.get(timeout=_START_SEC if self._readers else 0)
            with self._growing:
                if monotonic() - self._grown >= _START_SEC:
                    self._grown = monotonic()
                    self._readers.append(reader := IsolatedReader(self._share))
                    if self._abandoned:
                        reader.abandon()
                    return reader

    def _abandon(self) -> None:
        with self._growing:
            self._abandoned = True
        for reader in self._readers:
            reader.abandon()
