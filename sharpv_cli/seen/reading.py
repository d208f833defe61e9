"""A safetensors file as its tensors, without a copy: the library makes one, and an hour of a 7B model has 0.3 GB.

It is written by the library. What is read is held to what the format says, whoever made it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from sharpv_cli.seen.head import METADATA, DamagedError

PIECE_BYTES, THREADS = 1 << 23, 8
_KINDS = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I32": torch.int32,
    "I64": torch.int64,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
}


def read_bytes(file: str | os.PathLike[str]) -> memoryview:
    """All of it, by several threads. Raises OSError, DamagedError where it shrinks meanwhile."""
    with open(file, "rb", buffering=0) as stream, ThreadPoolExecutor(THREADS) as pool:  # noqa: PTH123
        content = np.empty(os.fstat(stream.fileno()).st_size, np.uint8).data  # no zeros are written before

        def read(start: int) -> int:
            return os.preadv(stream.fileno(), [content[start : start + PIECE_BYTES]], start)

        if sum(pool.map(read, range(0, len(content), PIECE_BYTES))) != len(content):
            raise DamagedError("it is cut short")
    return content


def tensors_in(content: memoryview) -> dict[str, Tensor]:
    """They share the memory of the file's `content`. Raises DamagedError."""
    start = 8 + int.from_bytes(content[:8], "little")
    try:
        told = json.loads(bytes(content[8:start]))
        told.pop(METADATA, None)
        return {name: _tensor(content[start:], **one) for name, one in told.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, RuntimeError) as error:
        raise DamagedError(f"it is cut short or damaged: {error}") from error


def _tensor(data: memoryview, dtype: str, shape: Sequence[int], data_offsets: Sequence[int]) -> Tensor:
    """Raises many kinds of errors."""
    kind, count, (begin, end) = _KINDS[dtype], math.prod(shape), data_offsets
    if not (min(shape, default=0) >= 0 <= begin <= end <= len(data) and end - begin == count * kind.itemsize):
        raise ValueError("a tensor is not where it says")
    if not count:
        return torch.empty(tuple(shape), dtype=kind)
    return torch.frombuffer(data, dtype=kind, count=count, offset=begin).reshape(tuple(shape))
