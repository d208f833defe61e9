"""Small pictures of a clip's frames, as JPEG: to look at, and opened one by one when somebody does."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sharpv_cli.video.thumbnails import shrunk

_FEW, _LARGE_SIDE, _SMALL_SIDE = 64, 360, 144  # pixels, as they are drawn on contact sheets
_QUALITY = 80
# What Pillow raises on damaged pictures.
_DAMAGE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Looks like an array uint8 RGB [T, height, width, 3] to whoever takes its frames one by one."""

    jpegs: tuple[bytes, ...]
    height: int
    width: int

    @classmethod
    def of(cls, images: NDArray[np.uint8]) -> Thumbnails:
        if isinstance(images, cls):
            return images
        side = _LARGE_SIDE if len(images) <= _FEW else _SMALL_SIDE
        scale = min(1.0, side / max(images.shape[1:3]))
        height, width = (max(1, round(pixels * scale)) for pixels in images.shape[1:3])
        jpegs = (_jpeg(shrunk(images[index : index + 1], height, width)[0]) for index in range(len(images)))
        return cls(tuple(jpegs), height, width)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.jpegs), self.height, self.width, 3

    @property
    def nbytes(self) -> int:
        return sum(map(len, self.jpegs))

    ndim, dtype = 4, np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.jpegs)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """The picture; a black one where it is damaged."""
        try:
            with Image.open(io.BytesIO(self.jpegs[index]), formats=("JPEG",)) as image:
                if image.size == (self.width, self.height):
                    return np.asarray(image.convert("RGB"))
        except _DAMAGE:
            pass
        return np.zeros(self.shape[1:], np.uint8)


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
