"""Pictures from decoded frames, made beside the decoding where a core may be idle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from sharpv_cli.video.picture import render

_WAITING = 4  # frames: more would hold the decoder's own pictures for nothing

Put = Callable[[int, VideoFrame], None]


@contextmanager
def converting(images: NDArray[np.uint8], *, beside: bool) -> Iterator[Put]:
    """A function that puts a frame's picture into `images`, uint8 RGB [T, H, W, 3], at a slot.

    `beside` does it on a thread of its own, at most a few frames behind: one decoder does not keep two cores
    busy. All pictures are there when the context ends, and what was raised in making them is raised there, or
    by a later call.
    """

    def put(slot: int, frame: VideoFrame) -> None:
        images[slot] = render(frame, images.shape[2], images.shape[1])

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
