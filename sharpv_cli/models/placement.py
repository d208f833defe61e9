"""Where a model goes and in which number format."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import torch

from sharpv_cli.errors import ModelError, ResourceError
from sharpv_cli.models.available import available_bytes
from sharpv_cli.models.blame import first_sentence

BALANCED = "balanced"


@dataclass(frozen=True, slots=True)
class Placement:
    """`device` decides number format and attention; `split` says that the layers are spread over all GPUs."""

    device: torch.device
    split: bool = False

    @property
    def name(self) -> str:
        """For messages."""
        return "all GPUs together" if self.split else str(self.device)

    def available_bytes(self) -> int | None:
        """Free bytes where the model goes, None where the system does not say."""
        if not self.split:
            return available_bytes(self.device)
        devices = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
        return sum(available_bytes(device) or 0 for device in devices)

    @property
    def device_map(self) -> str | dict[str, torch.device]:
        """What transformers' `from_pretrained` calls it (through accelerate)."""
        return BALANCED if self.split else {"": self.device}


def place(name: str) -> Placement:
    """The placement of a device's name, "balanced" being all GPUs together.

    Raises ResourceError where there is no such device or only one GPU, ModelError where accelerate is missing.
    """
    if name != BALANCED:
        return Placement(pick_device(name))
    if not has_accelerate():
        raise ModelError(
            "--device balanced needs accelerate, which is not installed",
            hint="pip install 'sharpv[multi-gpu]', or pip install accelerate",
        )
    count = torch.cuda.device_count()
    if count < 2:
        raise ResourceError(
            f"--device balanced spreads a model over several GPUs; here {'is' if count == 1 else 'are'} {count}",
            hint="use --device auto",
        )
    return Placement(torch.device("cuda", 0), split=True)


def has_accelerate() -> bool:
    return find_spec("accelerate") is not None


def pick_device(name: str) -> torch.device:
    """The torch device of a name, tried with a tensor; ResourceError when there is no such device."""
    if name == "auto":
        return torch.device(_best_device())
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    # A torch built without a device, or a machine without one, says so with any of these.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ResourceError(
            f"device {name!r} cannot be used: {_why_no_device(name, error)}",
            hint="use --device auto, cpu, cuda, cuda:1, mps or balanced",
        ) from error
    if device.type == "meta":
        raise ResourceError("device 'meta' holds no data", hint="use --device auto or cpu")
    return device


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on CUDA and float32 elsewhere."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _why_no_device(name: str, error: Exception) -> str:
    """PyTorch lists every backend it was ever compiled for when it does not know a name."""
    known = name.partition(":")[0] in ("cpu", "cuda", "mps")
    return first_sentence(error) if known else "no such kind of device"
