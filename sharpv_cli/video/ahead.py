"""Frames decoded ahead of whoever takes them: a short clip whole, a long one a chunk at a time in bounded memory."""

from __future__ import annotations

import threading
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.types import FrameSample, VideoInfo
from sharpv_cli.video.decoding import announce, as_sample, read_frames
from sharpv_cli.video.frames import Frames
from sharpv_cli.video.local import FilePath, limits_of
from sharpv_cli.video.patience import OutOfTimeError, too_slow
from sharpv_cli.video.probe import Scan
from sharpv_cli.video.sampling import Sampling
from sharpv_cli.video.sinks import Canvas, Take
from sharpv_cli.video.timeline import Choice
from sharpv_cli.video.window import Window

CHUNKS_AHEAD = 2  # chunks that wait for the reader, or are being filled


class FramesAhead:
    """The frames that `sample_frames` would take of a video, decoded on a thread that begins at once.

    A clip of at most `whole` frames is decoded as `sample_frames` does it. A longer one is given away in chunks of
    `chunk` frames, and the thread stays at most two of them ahead; its pictures have the size that one chunk may
    have, however many there are. `close` it, or use it as a context manager.

    Raises what `sample_frames` raises, and `too_slow`, in whoever takes; the limit is on the seconds that
    decoding works, not on those that it waits to be taken from.
    """

    def __init__(
        self,
        path: FilePath,
        sampling: Sampling,
        scan: Scan | None = None,
        *,
        whole: int,
        chunk: int,
    ) -> None:
        self._path, self._sampling, self._scan = path, sampling, scan
        self._whole, self._chunk = whole, chunk
        self._window = Window(chunk, CHUNKS_AHEAD)
        self._streaming = False  # what begins in chunks goes on so, however few frames damage leaves of it
        self._sample: tuple[VideoInfo, FrameSample] | None = None
        # Nothing can stop a call inside of FFmpeg: a daemon does not hold the process at its end.
        threading.Thread(target=self._decode, name="sharpv-ahead", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def busy_sec(self) -> float:
        """Seconds that decoding worked so far."""
        return self._window.busy_sec

    @property
    def waited_sec(self) -> float:
        """Seconds that `get` waited so far."""
        return self._window.waited_sec

    @property
    def touched(self) -> bool:
        """Whether chunks were taken: they do not come again."""
        return self._window.touched

    def first(self) -> Frames:
        """The whole of a short clip, or what is coming of a long one; waits until that is known. To be called once."""
        try:
            take = self._window.announced(limits_of(self._path).timeout)
        except OutOfTimeError as error:
            raise too_slow(self._path, "decoding") from error
        if take is not None:
            return Frames.announced(take, self)
        assert self._sample is not None
        return Frames(*self._sample, seconds=self.busy_sec)

    def get(self) -> Take | NDArray[np.uint8] | None:
        """Of a long clip: the chunks, uint8 RGB [n, H, W, 3], in order; None at the end.

        A Take says what is coming, where `first` did not; between chunks it begins anew: the file is damaged, and
        the chunks so far are void.
        """
        try:
            return self._window.get(limits_of(self._path).timeout)
        except OutOfTimeError as error:
            raise too_slow(self._path, "decoding") from error

    def abandon(self) -> None:
        self.close()

    def close(self) -> None:
        self._window.close()

    def _decode(self) -> None:
        with self._window:
            plan, sink = read_frames(self._path, self._sampling, self._begin, self._scan)
            if isinstance(sink, Canvas):
                self._sample = as_sample(plan, sink, self._sampling)

    def _begin(self, plan: Scan, choice: Choice) -> Canvas | Window:
        if len(choice.selection.indices) <= self._whole and not self._streaming:
            return Canvas.of(plan, choice)
        self._streaming = True
        self._window.begin(announce(plan, choice, self._sampling, plan.shape.bounded(self._chunk)))
        return self._window
