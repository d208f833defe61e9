"""What slows stock vision towers down on a GPU, mended from outside for the time of one pass: the numbers stay.

Measured with LLaVA-OneVision-7B, 32 frames, on an H100 (docs/benchmarks.md): the pooling's kernel for planes one after
the other runs a thread an output pixel, and embeddings that are a transposed view keep all that follows in that
layout, which norms and additions are slow on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sharpv_cli.models.hooks import removed_after


@contextmanager
def quick_tower(model: Any) -> Iterator[None]:
    """While open, the model's front end computes the same in better memory layouts. Hooks are always removed."""
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
