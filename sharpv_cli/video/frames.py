"""The sampled frames of a video: all here, or of a long one still coming."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.types import FrameSample, Subtitles, VideoInfo
from sharpv_cli.video.sinks import Take
from sharpv_cli.video.thumbnails import blank_sample


class Chunks(Protocol):
    """The frames of a long clip, which come once and in order."""

    @property
    def busy_sec(self) -> float:
        """Seconds that decoding worked so far."""

    @property
    def waited_sec(self) -> float:
        """Seconds that `get` waited so far."""

    @property
    def touched(self) -> bool:
        """Whether chunks were taken: they do not come again."""

    def get(self) -> Take | NDArray[np.uint8] | None:
        """The chunks, uint8 RGB [n, H, W, 3]; None at the end.

        A Take between them says that it all begins anew: the file is damaged, and the chunks so far are void.
        """

    def abandon(self) -> None:
        """For another thread than the one that takes: nothing more is wanted, and what is waited for may fail."""

    def close(self) -> None:
        """Nothing more is wanted."""


@dataclass(frozen=True, slots=True)
class Frames:
    """`sample` holds the frames; while some are `coming` it has small pictures of those that have come.

    `subtitles` are those of the stretch that was looked at, None where none are wanted.
    A context manager: whoever asked for frames closes them. `seconds` is what decoding took that is over.
    """

    info: VideoInfo
    sample: FrameSample
    coming: Chunks | None = None
    seconds: float = 0.0
    subtitles: Subtitles | None = None

    @classmethod
    def announced(cls, take: Take, coming: Chunks | None) -> Frames:
        return cls(take.info, blank_sample(take), coming)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.coming is not None:
            self.coming.close()
