"""What slows stock vision towers down, mended from outside for the time of one pass.

Measured with LLaVA-OneVision-7B, 32 frames, on an H100 (docs/benchmarks.md): the pooling's kernel for planes one after
the other runs a thread an output pixel, and embeddings that are a transposed view keep all that follows in that
layout, which norms and additions are slow on. The numbers stay.

On a CPU that is not Intel's, PyTorch's MKL does without AVX-512, and takes more than twice as long for a product as
oneDNN, which PyTorch brings along: its sums have another order, so that the last bits differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sharpv_cli.models.hooks import removed_after

_CPUINFO = Path("/proc/cpuinfo")
_MANY_ROWS = 128  # below, the copies that oneDNN wants take what it gains


def quick_tower(model: Any) -> AbstractContextManager[object]:
    """While open, the model's front end computes the same quicker, where it can. Hooks are always removed."""
    if model.device.type == "cuda":
        return _better_layouts(model)
    return _OneDNN() if model.device.type == "cpu" and onednn_is_quicker() else nullcontext()


@cache
def onednn_is_quicker() -> bool:
    """Whether MKL leaves AVX-512 unused here."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    with suppress(OSError):
        return "AuthenticAMD" in _CPUINFO.read_text(encoding="utf-8", errors="replace")[:1000]
    return False


@contextmanager
def _better_layouts(model: Any) -> Iterator[None]:
    hooks = [
        module.register_forward_hook(_contiguous)
        for module in model.modules()
        if type(module).__name__.endswith("VisionEmbeddings")
    ]
    with removed_after(hooks), _ChannelsLast():
        yield


def _contiguous(_module: Any, _args: Any, output: Any) -> Any:
    return output.contiguous() if isinstance(output, Tensor) else output


class _ChannelsLast(TorchFunctionMode):
    """Interpolates pictures with their channels side by side: another kernel for the same sums."""

    def __torch_function__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.interpolate and args and args[0].is_cuda and args[0].ndim == 4:
            args = (args[0].contiguous(memory_format=torch.channels_last), *args[1:])
        return func(*args, **(kwargs or {}))


class _OneDNN(TorchFunctionMode):
    """Multiplies by weights with oneDNN."""

    def __torch_function__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear and not kwargs and _is_large(*args):
            rows, weight, *bias = args
            return torch.ops.mkldnn._linear_pointwise(rows, weight, *bias, "none", [], "")
        return func(*args, **(kwargs or {}))


def _is_large(rows: Tensor, weight: Tensor, *_: Tensor | None) -> bool:
    plain = rows.dtype == weight.dtype == torch.float32 and not torch.is_grad_enabled()
    return plain and rows.numel() >= _MANY_ROWS * rows.shape[-1]
