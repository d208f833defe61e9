"""Pictures between the threads that decode them and the one that takes them: in order, a few chunks at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.video.patience import OutOfTimeError
from sharpv_cli.video.picture import Pose
from sharpv_cli.video.sinks import Take


class ReleasedError(Exception):
    """Nobody waits for these pictures any longer."""


class Window:
    """A sink that holds `ahead` chunks of `chunk` pictures and makes decoders wait for room; for one reader.

    A chunk is given away when all of its pictures are there. `begin` announces what comes, and again when that
    changes: what came before is then void. Inside of the `with` block the decoders work; what it raises is raised
    in the reader. `busy_sec` is how long they worked, without waiting for room; `waited_sec` how long the reader
    waited for chunks.
    """

    front_to_back = True

    def __init__(self, chunk: int, ahead: int) -> None:
        assert chunk > 0 and ahead > 0, (chunk, ahead)
        self.waited_sec = 0.0
        self._chunk, self._ahead = chunk, ahead
        self._changed = threading.Condition()
        self._take: Take | None = None
        self._news: Take | None = None
        self._filling: dict[int, _Chunk] = {}
        self._next = 0
        self._released = self._ended = self._closed = False
        self._error: BaseException | None = None
        self._clock = _Stopwatch()

    # ---- the decoders' side

    def __enter__(self) -> Window:
        self._clock.run()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        with self._changed:
            self._ended, self._error = True, error
            self._clock.stop()
            self._changed.notify_all()
        return True

    def begin(self, take: Take) -> None:
        """The pictures of `take` come from now on, from the first one. The same ones again lose nothing."""
        with self._changed:
            self._released = self._closed
            self._filling.clear()
            if self._take is None or self._take.plan != take.plan:
                self._take = self._news = take
                self._next = 0
            self._changed.notify_all()

    @property
    def size(self) -> tuple[int, int]:
        assert self._take is not None
        return self._take.width, self._take.height

    @property
    def pose(self) -> Pose:
        assert self._take is not None
        return self._take.pose

    def put(self, slot: int, image: NDArray[np.uint8]) -> None:
        """Raises ReleasedError instead of waiting where the pictures are not wanted any longer."""
        number, place = divmod(slot, self._chunk)
        if (chunk := self._room_for(number)) is None:
            return
        chunk.images[place] = image
        with self._changed:
            chunk.missing.discard(place)
            self._set_clock()
            self._changed.notify_all()

    def release(self) -> None:
        with self._changed:
            self._released = True
            self._changed.notify_all()

    def _room_for(self, number: int) -> _Chunk | None:
        """A chunk to fill, when its turn comes; None where it was taken already."""
        with self._changed:
            self._changed.wait_for(lambda: self._released or number < self._next + self._ahead)
            if self._released:
                raise ReleasedError
            if number < self._next:
                return None
            return self._filling.setdefault(number, self._empty(number))

    def _empty(self, number: int) -> _Chunk:
        assert self._take is not None
        count = min(self._chunk, len(self._take) - number * self._chunk)
        return _Chunk(np.empty((count, self._take.height, self._take.width, 3), np.uint8))

    # ---- the reader's side

    @property
    def busy_sec(self) -> float:
        return self._clock.seconds

    @property
    def touched(self) -> bool:
        """Whether a chunk was given away."""
        return self._next > 0

    def announced(self, limit_sec: float) -> Take | None:
        """The first announcement, which `get` then leaves out; None when all ended without one. Raises as `get`."""
        with self._changed:
            self._wait(lambda: self._news is not None, limit_sec)
            taken, self._news = self._news, None
            return taken

    def get(self, limit_sec: float) -> Take | NDArray[np.uint8] | None:
        """What comes next: an announcement, a chunk uint8 RGB [n, H, W, 3], or None after the last one.

        Raises OutOfTimeError once decoding has taken more than `limit_sec`, else what the decoders raised.
        """
        with self._changed:
            began = perf_counter()
            try:
                self._wait(lambda: self._news is not None or self._full(self._next), limit_sec)
            finally:
                self.waited_sec += perf_counter() - began
            if self._news is not None:
                taken, self._news = self._news, None
                return taken
            if not self._full(self._next):
                return None
            chunk = self._filling.pop(self._next)
            self._next += 1
            self._set_clock()
            self._changed.notify_all()
            return chunk.images

    def close(self) -> None:
        """Nothing more is wanted: the decoders end when they next have a picture."""
        self._closed = True
        self.release()

    def _wait(self, come: Callable[[], bool], limit_sec: float) -> None:
        while not (come() or self._ended):
            if (left := limit_sec - self.busy_sec) <= 0:
                raise OutOfTimeError
            self._changed.wait(min(left, threading.TIMEOUT_MAX))
        if self._error is not None:
            raise self._error

    def _full(self, number: int) -> bool:
        return number in self._filling and not self._filling[number].missing

    def _set_clock(self) -> None:
        """Decoders that have filled the window only wait."""
        assert self._take is not None
        chunks = -(-len(self._take) // self._chunk)
        window = range(self._next, min(self._next + self._ahead, chunks))
        if self._ended or (window and all(map(self._full, window))):
            self._clock.stop()
        else:
            self._clock.run()


class _Chunk:
    """Pictures, uint8 RGB [n, H, W, 3], and the places of those that are missing."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images = images
        self.missing = set(range(len(images)))


class _Stopwatch:
    def __init__(self) -> None:
        self._sum = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        since = self._since
        return self._sum + (0.0 if since is None else perf_counter() - since)

    def run(self) -> None:
        if self._since is None:
            self._since = perf_counter()

    def stop(self) -> None:
        self._sum, self._since = self.seconds, None
