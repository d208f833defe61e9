"""What every world's clips have in common: how they are filmed, and that they become files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.video.encoding import Codec, Quality, write_clip


@dataclass(frozen=True, slots=True)
class Filmed(ABC):
    """Pixels, frames per second, seconds, codec and quality; `suffix` is that of its file."""

    width: int
    height: int
    fps: int
    duration_sec: float
    codec: Codec
    quality: Quality
    suffix: str

    @abstractmethod
    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Every frame, uint8 RGB [H, W, 3]: the same pixels whenever it is called."""

    def place(self, index: int) -> int:
        """A frame's place in time, in units of 1 / fps."""
        return index

    def write(self, path: Path) -> None:
        """Encode it; the container is the path's suffix. Raises UsageError when it cannot be written."""
        write_clip(path, self.frames(), self.fps, codec=self.codec, quality=self.quality, place=self.place)
