"""Pictures from decoded frames, made beside the decoding where a core may be idle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from av.video.frame import VideoFrame

from sharpv_cli.video.picture import render
from sharpv_cli.video.sinks import Sink

_WAITING = 4  # frames: more would hold the decoder's own pictures for nothing

Put = Callable[[int, VideoFrame], None]


@contextmanager
def converting(sink: Sink, *, beside: bool) -> Iterator[Put]:
    """A function that puts a frame's picture into `sink`, at a slot.

    `beside` does it on a thread of its own, at most a few frames behind: one decoder does not keep two cores
    busy. All pictures are there when the context ends, and what was raised in making them is raised there, or
    by a later call.
    """

    def put(slot: int, frame: VideoFrame) -> None:
        sink.put(slot, render(frame, *sink.size, sink.pose))

    if not beside:
        yield put
        return
    with ThreadPoolExecutor(1, "convert") as pool:
        waiting: deque[Future[None]] = deque()

        def hand_over(slot: int, frame: VideoFrame) -> None:
            if len(waiting) == _WAITING:
                waiting.popleft().result()
            waiting.append(pool.submit(put, slot, frame))

        try:
            yield hand_over
            for future in waiting:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
