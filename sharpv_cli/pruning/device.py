"""Where the Triton kernels run."""

from __future__ import annotations

from importlib.util import find_spec

from torch import Tensor


def has_kernels(tensor: Tensor) -> bool:
    """Whether kernels can be given this tensor: on CUDA, contiguous, and where triton is installed."""
    return tensor.is_cuda and tensor.is_contiguous() and find_spec("triton") is not None
