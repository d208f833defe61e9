"""What the first use of a GPU waits for, got ready beside the imports and the weights: its context and libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
import torch.nn.functional as F

_GPU = re.compile(r"auto|balanced|cuda(:\d+)?")
_SIDE = 64


@contextmanager
def gpu_ready_beside(name: str) -> Iterator[None]:
    """While what is in it runs, the CUDA device of that name, or of "auto", gets ready; elsewhere nothing happens.

    Errors are raised at the end, behind those of what ran beside, which name a missing device in the user's words.
    """
    device = _gpu(name)
    if device is None:
        yield
        return
    with ThreadPoolExecutor(1, thread_name_prefix="sharpv-gpu") as pool:
        ready = pool.submit(_use, device)
        yield
        ready.result()


def _gpu(name: str) -> torch.device | None:
    """None for a name that is no GPU's: who picks the device says so."""
    if not _GPU.fullmatch(name) or not torch.cuda.is_available():
        return None
    return torch.device(name if name.startswith("cuda") else "cuda")


@torch.no_grad()
def _use(device: torch.device) -> None:
    """One small use of cuBLAS, cuDNN and attention. Imports nothing: another thread imports transformers."""
    try:
        some = torch.zeros(1, 1, _SIDE, _SIDE, dtype=torch.float16, device=device)
        F.scaled_dot_product_attention(some @ some, some, some)
        F.conv2d(some, some[..., :4, :4])
    except torch.OutOfMemoryError:
        return  # the weights will not fit either, and the check of them says by how much
