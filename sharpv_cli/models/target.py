"""The device and number format that settings lead to, in words: where that is the CPU for sure, without PyTorch."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sharpv_cli.models import available

if TYPE_CHECKING:
    from sharpv_cli.settings import Settings

_GPU_FILES = ("nvidia*", "nvhost*", "nvmap", "dxg", "kfd")  # in /dev; also of Jetson, WSL and ROCm
_ITEMSIZES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Target:
    """`kind` is cpu, cuda or mps; `free` bytes are None where the system does not say."""

    device: str
    kind: str
    dtype: str
    itemsize: int
    free: int | None


def no_gpu() -> bool:
    """Whether the system shows that it has none; elsewhere only PyTorch can tell."""
    return sys.platform == "linux" and not any(any(Path("/dev").glob(name)) for name in _GPU_FILES)


def asks_torch(settings: Settings) -> bool:
    """Whether only PyTorch knows the target."""
    return settings.device != "cpu" and not (settings.device == "auto" and no_gpu())


def target_of(settings: Settings) -> Target:
    """Imports PyTorch where `asks_torch`. Raises ResourceError where there is no such device, ModelError."""
    wanted = settings.model.dtype
    if not asks_torch(settings):
        number_format = "float32" if wanted == "auto" else wanted
        return Target("cpu", "cpu", number_format, _ITEMSIZES[number_format], available.host_bytes())
    from sharpv_cli.models.placement import pick_dtype, place

    placement = place(settings.device)
    number = pick_dtype(wanted, placement.device)
    name = settings.device if placement.split else str(placement.device)
    dtype = str(number).removeprefix("torch.")
    return Target(name, placement.device.type, dtype, number.itemsize, placement.available_bytes())
