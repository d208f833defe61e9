"""One clip as it was seen: the object that the pipeline has after scoring, and the bytes that it is on disk.

A file is safetensors and nothing else: no code can be in it. Everything read is checked, wherever it came from.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from sharpv_cli.models.assembling import MropePositions, VisualPart
from sharpv_cli.models.wording import Made
from sharpv_cli.pruning.visual import Scores
from sharpv_cli.seen.head import DIGEST, HEAD, DamagedError, Head, MadeHead, head_of, metadata_of, read_head
from sharpv_cli.seen.reading import PIECE_BYTES, THREADS, read_bytes, tensors_in
from sharpv_cli.seen.thumbnails import Thumbnails
from sharpv_cli.types import FrameSample, VideoInfo
from sharpv_cli.units import disk_size

_MADE = "made."
_DEEPSTACK = "deepstack."
_FLOATS = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True)
class Entry:
    """`head` says of what this is; `part` is what frames put into a prompt, on the host as in a file.

    `scores` are None where nothing is pruned; of them I and r are exact, for they decide what is kept, while S and T
    are rounded to half precision. `made` is what wordings are made of; None of a clip that came in chunks.
    """

    head: Head
    info: VideoInfo
    sample: FrameSample
    part: VisualPart
    scores: Scores | None
    made: Made | None

    def to_bytes(self) -> bytes:
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self._tensors()}
        told = self.head.told()
        return save(tensors, {HEAD: told, DIGEST: _digest(told, tensors)})

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        part, scores, made = self.part, self.scores, self.made
        yield from (("held", part.held), ("rows", part.rows))
        yield from ((f"{_DEEPSTACK}{index}", rows) for index, rows in enumerate(part.deepstack))
        if part.positions is not None:
            yield "positions", part.positions.within.int()
        if scores is not None:
            yield from (("importance", scores.importance), ("ratio", scores.ratio))
            yield from (("spatial", scores.spatial.half()), ("temporal", scores.temporal.half()))
        if made is not None:
            yield from ((f"{_MADE}{name}", tensor) for name, tensor in made.tensors.items())
        yield "indices", torch.tensor(self.sample.indices)
        yield "timestamps", torch.tensor(self.sample.timestamps_sec, dtype=torch.float64)
        jpegs = cast(Thumbnails, self.sample.images).jpegs
        yield "thumbnails", torch.frombuffer(bytearray(b"".join(jpegs)), dtype=torch.uint8)
        yield "thumbnail_sizes", torch.tensor([len(jpeg) for jpeg in jpegs])


def made_head(made: Made | None) -> MadeHead | None:
    if made is None:
        return None
    shapes = {name: (list(shape), dtype) for name, (shape, dtype) in made.shapes.items()}
    return MadeHead.model_validate({"shapes": shapes, "metadata": made.metadata})


def read_entry(file: str | os.PathLike[str], most_bytes: float = math.inf) -> Entry:
    """Its head first, which tells what is none of ours without reading all. Raises DamagedError, OSError."""
    read_head(file)
    size = os.stat(file).st_size  # noqa: PTH116
    _require(size <= most_bytes, f"it has {disk_size(size)}, more than seen_max_bytes allows in all")
    return entry_of(read_bytes(file))


def entry_of(content: memoryview) -> Entry:
    """Raises DamagedError."""
    header = content[: 8 + int.from_bytes(content[:8], "little")]
    metadata = metadata_of(io.BytesIO(header).read)
    tensors = tensors_in(content)
    head = head_of(metadata.get(HEAD))
    if metadata.get(DIGEST) != _digest(metadata[HEAD], tensors):
        raise DamagedError("it is not as it was written: its digest is another one")
    return _Tensors(head, tensors).entry()


def is_finite(tensor: Tensor) -> bool:
    """Whether all its numbers are: the ends of its range tell, and are found in a twentieth of the time."""
    return tensor.numel() == 0 or all(bool(end.isfinite()) for end in tensor.aminmax())


def _digest(told: str, tensors: Mapping[str, Tensor]) -> str:
    """Of the digests of pieces, which several threads make: an hour of a 7B model has 0.2 GB, and is waited for."""
    digest = hashlib.sha256(told.encode())
    with ThreadPoolExecutor(THREADS) as pool:
        for name, tensor in sorted(tensors.items()):
            digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
            content = tensor.flatten().view(torch.uint8).numpy().data
            pieces = (content[start : start + PIECE_BYTES] for start in range(0, len(content), PIECE_BYTES))
            for piece in pool.map(hashlib.sha256, pieces):
                digest.update(piece.digest())
    return digest.hexdigest()


class _Tensors:
    """The tensors of a file, each of which is asked for by name and has to be what it should be."""

    def __init__(self, head: Head, tensors: dict[str, Tensor]) -> None:
        self._head, self._tensors = head, tensors

    def entry(self) -> Entry:
        head, tokens = self._head, math.prod(self._head.grid)
        held = self._take("held", (torch.bool,), None, tokens)
        slots = len(held)
        _require(slots > 0, "it has no frames")
        rows = self._take("rows", _FLOATS, None, None)
        _require(len(rows) >= int(held.sum()), "there are fewer embeddings than it says")
        deepstack = tuple(self._deepstack(rows))
        entry = Entry(
            head,
            VideoInfo(**head.info.model_dump()),
            self._sample(),
            VisualPart(held, rows, deepstack, self._positions(int(held.numel()))),
            self._scores(slots, tokens),
            self._made(),
        )
        _require(not self._tensors, f"nobody knows what {min(self._tensors, default='')} is")
        return entry

    def _take(self, name: str, dtypes: tuple[torch.dtype, ...], *shape: int | None) -> Tensor:
        tensor = self._tensors.pop(name, None)
        if tensor is None:
            raise DamagedError(f"{name} is missing")
        _require(tensor.dtype in dtypes, f"{name} is {tensor.dtype}")
        fits = tensor.ndim == len(shape) and all(
            want in (None, have) for want, have in zip(shape, tensor.shape, strict=True)
        )
        _require(fits, f"{name} has the shape {tuple(tensor.shape)}")
        _require(not tensor.is_floating_point() or is_finite(tensor), f"{name} is not finite")
        return tensor

    def _deepstack(self, rows: Tensor) -> Iterator[Tensor]:
        for index in range(sum(name.startswith(_DEEPSTACK) for name in self._tensors)):
            yield self._take(f"{_DEEPSTACK}{index}", (rows.dtype,), *rows.shape)

    def _positions(self, most: int) -> MropePositions | None:
        after = self._head.after
        if after is None:
            return None
        within = self._take("positions", (torch.int32,), 3, None).long()
        _require(bool((within[:, 0] == 0).all()), "its positions do not begin at 0")
        _require(int(within.min()) >= 0 and int(within.max()) < 2**24, "its positions are out of range")
        _require(0 < after < 2**24 and within.shape[1] < 64 * most, "its positions are out of range")
        return MropePositions(within, after)

    def _scores(self, slots: int, tokens: int) -> Scores | None:
        if self._head.mode == "off":
            return None
        half, full = (torch.float16,), (torch.float32,)
        return Scores(
            self._take("spatial", half, slots, tokens).float(),
            self._take("temporal", half, slots, tokens).float(),
            self._take("importance", full, slots, tokens),
            self._take("ratio", full, slots),
        )

    def _made(self) -> Made | None:
        if (head := self._head.made) is None:
            return None
        names = [name for name in self._tensors if name.startswith(_MADE)]
        small = (torch.int64, torch.int32, torch.bool, torch.float32, torch.float64)
        for name in names:
            _require(self._tensors[name].dtype in small and self._tensors[name].ndim <= 3, f"{name} is odd")
        tensors = {name.removeprefix(_MADE): self._tensors.pop(name) for name in names}
        shapes = {name: (tuple(shape), dtype) for name, (shape, dtype) in head.shapes.items()}
        return Made(shapes, tensors, head.metadata)

    def _sample(self) -> FrameSample:
        head = self._head
        times = self._take("timestamps", (torch.float64,), None).tolist()
        indices = self._take("indices", (torch.int64,), len(times)).tolist()
        _require(len(times) > 0 and times[0] >= 0 and indices[0] >= 0, "its times are out of range")
        for one in (times, indices):
            _require(all(a < b for a, b in pairwise(one)), "its frames are not in order")
        images = cast("NDArray[np.uint8]", self._thumbnails(len(times)))  # it looks like one
        return FrameSample(
            head.strategy,
            images,
            tuple(indices),
            tuple(times),
            tuple(head.warnings),
            decoded=(head.height, head.width),
        )

    def _thumbnails(self, frames: int) -> Thumbnails:
        sizes = self._take("thumbnail_sizes", (torch.int64,), frames)
        content = self._take("thumbnails", (torch.uint8,), None)
        _require(
            bool((sizes >= 0).all()) and int(sizes.sum()) == len(content), "its thumbnails are cut short"
        )
        parts = content.numpy().tobytes()
        ends = sizes.cumsum(0).tolist()
        jpegs = (parts[end - size : end] for end, size in zip(ends, sizes.tolist(), strict=True))
        return Thumbnails(tuple(jpegs), *self._head.thumbnails)


def _require(right: bool, otherwise: str) -> None:
    if not right:
        raise DamagedError(otherwise)
