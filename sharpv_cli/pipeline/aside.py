"""Work that waits for a video: where several commands are answered at once, it holds up none of the others."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from functools import partial
from threading import BoundedSemaphore
from typing import TypeVar

from sharpv_cli.types import Waiting

T = TypeVar("T")

_MOST = 128  # pieces of work that wait at a time


class Aside:
    """Threads for what waits, of which at most `readers` read videos; `changed` is called when one is done.

    One more reads what no answer waits for.
    """

    def __init__(self, readers: int, changed: Callable[[], object]) -> None:
        self._pool = ThreadPoolExecutor(_MOST, "aside")
        self._reading, self._reading_after = BoundedSemaphore(readers), BoundedSemaphore()
        self._changed = changed

    def begin(self, work: Callable[[], T]) -> Future[T]:
        coming = self._pool.submit(work)
        coming.add_done_callback(lambda _: self._changed())
        return coming

    def read(self, work: Callable[[], T], *, after: bool) -> T:
        with self._reading_after if after else self._reading:
            return work()


_aside: Aside | None = None


def go_on_beside(aside: Aside | None) -> None:
    """From now on others go on while work waits."""
    global _aside
    _aside = aside


def read_aside(
    work: Callable[[], T], unwanted: Callable[[T], object] = lambda _: None, *, after: bool = False
) -> Generator[Waiting, None, T]:
    """What `work`, which reads a video, gives; `unwanted` gets it if nobody waits for it any more when it comes.

    `after` an answer it keeps no video waiting that another answer waits for.
    """
    if _aside is None:
        return work()
    coming = _aside.begin(partial(_aside.read, work, after=after))
    with ExitStack() as on_leaving:
        on_leaving.callback(coming.add_done_callback, partial(_given, unwanted))
        on_leaving.callback(coming.cancel)
        yield from until_done(coming)
        on_leaving.pop_all()
    return coming.result()


def take_aside(work: Callable[[], T], abandon: Callable[[], object]) -> Generator[Waiting, None, T]:
    """What `work`, which takes from somebody that reads a video, gives; where it is left, `abandon` has it end."""
    if _aside is None:
        return work()
    coming = _aside.begin(work)
    with ExitStack() as on_leaving:
        on_leaving.callback(wait, [coming])
        on_leaving.callback(abandon)
        yield from until_done(coming)
        on_leaving.pop_all()
    return coming.result()


def until_done(coming: Future[T]) -> Generator[Waiting]:
    """Other work goes on until it has come."""
    while not coming.done():
        yield Waiting()


def _given(unwanted: Callable[[T], object], coming: Future[T]) -> None:
    if not coming.cancelled() and coming.exception() is None:
        unwanted(coming.result())
