"""What slows stock vision towers down, mended from outside for the time of one pass.

Measured with LLaVA-OneVision-7B, 32 frames, on an H100 (docs/benchmarks.md): the pooling's kernel for planes one after
the other runs a thread an output pixel, and embeddings that are a transposed view keep all that follows in that
layout, which norms and additions are slow on. The numbers stay.

On a CPU that is not Intel's, PyTorch's MKL does without AVX-512, and takes more than twice as long for a product as
oneDNN, which PyTorch brings along: its sums have another order, so that the last bits differ. oneDNN also takes the
GELU behind a product along with it: approximated by tanh, it takes PyTorch two thirds of the product's time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpv_cli.models.hooks import removed_after

_CPUINFO = Path("/proc/cpuinfo")
_MANY_ROWS = 128  # below, the copies that oneDNN wants take what it gains


def quick_tower(model: Any) -> AbstractContextManager[object]:
    """While open, the model's front end computes the same quicker, where it can. Hooks are always removed."""
    if model.device.type == "cuda":
        return _better_layouts(model)
    quicker = model.device.type == "cpu" and onednn_is_quicker()
    return _products_by_onednn(model) if quicker else nullcontext()


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
    with removed_after(hooks), _instead("interpolate", _channels_last):
        yield


def _contiguous(_module: Any, _args: Any, output: Any) -> Any:
    return output.contiguous() if isinstance(output, Tensor) else output


@contextmanager
def _instead(name: str, call: Callable[..., Tensor]) -> Iterator[None]:
    """While open, PyTorch's function of this name is `call`, which gets it first.

    A TorchFunctionMode does it for all functions, and takes 20 ms of a clip's 75 to pass on those of a tower.
    """
    stock = getattr(F, name)
    setattr(F, name, partial(call, stock))
    try:
        yield
    finally:
        setattr(F, name, stock)


def _channels_last(stock: Callable[..., Tensor], pictures: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Interpolates pictures with their channels side by side: another kernel for the same sums."""
    if pictures.is_cuda and pictures.ndim == 4:
        pictures = pictures.contiguous(memory_format=torch.channels_last)
    return stock(pictures, *args, **kwargs)


@contextmanager
def _products_by_onednn(model: Any) -> Iterator[None]:
    mlps = [module for module in model.modules() if _has_gelu(module)]
    for mlp in mlps:
        mlp.fc1.forward = partial(_with_gelu, mlp.fc1)
        mlp.activation_fn.forward = _given
    try:
        with _instead("linear", _by_onednn):
            yield
    finally:
        for mlp in mlps:
            del mlp.fc1.forward, mlp.activation_fn.forward


def _has_gelu(module: Any) -> bool:
    """Whether it is an MLP whose first product is followed by nothing but this GELU."""
    plain = type(getattr(module, "fc1", None)) is torch.nn.Linear
    return plain and type(getattr(module, "activation_fn", None)).__name__ == "GELUTanh"


def _with_gelu(linear: torch.nn.Linear, rows: Tensor) -> Tensor:
    if not _is_large(rows, linear.weight):
        return F.gelu(F.linear(rows, linear.weight, linear.bias), approximate="tanh")
    return _onednn(rows, linear.weight, linear.bias, "gelu", [], "tanh")


def _given(rows: Tensor) -> Tensor:
    return rows


def _by_onednn(
    stock: Callable[..., Tensor], rows: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Multiplies by weights with oneDNN."""
    if not _is_large(rows, weight):
        return stock(rows, weight, bias)
    return _onednn(rows, weight, bias, "none", [], "")


def _onednn(*given: Any) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(*given)
    return product


def _is_large(rows: Tensor, weight: Tensor) -> bool:
    plain = rows.dtype == weight.dtype == torch.float32 and not torch.is_grad_enabled()
    return plain and rows.numel() >= _MANY_ROWS * rows.shape[-1]
