"""Frames that a child process decodes ahead of whoever takes them: `video.ahead`, with a process between."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.video.ahead import FramesAhead
from sharpv_cli.video.frames import Frames
from sharpv_cli.video.isolated import IsolatedReader
from sharpv_cli.video.local import FilePath
from sharpv_cli.video.plan import Scan
from sharpv_cli.video.sampling import Sampling
from sharpv_cli.video.sinks import Take


class FramesOfChild:
    """As `FramesAhead`, whose errors this raises, and VideoError or ShortageError where the child is lost.

    The child plans with `share` of the cores, all by default, and holds one chunk more than two.
    """

    def __init__(
        self,
        path: FilePath,
        sampling: Sampling,
        scan: Scan | None = None,
        *,
        whole: int,
        chunk: int,
        share: int | None = None,
    ) -> None:
        self._reader = IsolatedReader(share)
        work = partial(frames_of, sampling=sampling, scan=scan, whole=whole, chunk=chunk)
        self._items: Generator[tuple[Any, float]] = self._reader.stream(path, work)
        self.busy_sec = self.waited_sec = 0.0
        self.touched = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def first(self) -> Frames:
        (frames, is_long), self.busy_sec = next(self._items)
        assert isinstance(frames, Frames)
        return replace(frames, coming=self) if is_long else frames

    def get(self) -> Take | NDArray[np.uint8] | None:
        began = perf_counter()
        item, self.busy_sec = next(self._items, (None, self.busy_sec))
        self.waited_sec += perf_counter() - began
        self.touched |= item is not None and not isinstance(item, Take)
        return item

    def abandon(self) -> None:
        self._reader.abandon()

    def close(self) -> None:
        """In the thread that takes from it."""
        self._items.close()
        self._reader.__exit__()


def frames_of(
    path: FilePath, sampling: Sampling, scan: Scan | None, whole: int, chunk: int
) -> Iterator[tuple[Any, float]]:
    """In the child: what `first` and then `get` of a FramesAhead give, and its `busy_sec` each time."""
    with FramesAhead(path, sampling, scan, whole=whole, chunk=chunk) as ahead:
        frames = ahead.first()
        yield (replace(frames, coming=None), frames.coming is not None), ahead.busy_sec
        while (item := ahead.get()) is not None:
            yield item, ahead.busy_sec
        yield None, ahead.busy_sec
