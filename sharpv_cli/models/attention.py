"""Which attention backend the language model runs on, and why, in words.

Importing this module imports neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Literal

from sharpv_cli.errors import ModelError

if TYPE_CHECKING:
    import torch

Wanted = Literal["auto", "flash", "sdpa", "eager"]


@dataclass(frozen=True, slots=True)
class Attention:
    """`name` for the user, `implementation` for transformers' `from_pretrained`, `reason` in words.

    `warning` is a sentence for the answer where "auto" went down although a flash-attn is installed.
    """

    name: Literal["flash", "sdpa", "eager"]
    implementation: str | dict[str, str]
    reason: str
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class _Version:
    """One flash-attn: its number, package, module, the largest head it takes, and the GPUs it is built for.

    A GPU's generation is the first number of its compute capability: 8 Ampere, Ada; 9 Hopper; 10 on Blackwell.
    """

    number: int
    package: str
    module: str
    largest_head: int
    generations: tuple[int, ...]

    @property
    def implementation(self) -> dict[str, str]:
        """Vision towers stay on SDPA: their head sizes and wrappers are not always what flash-attn takes."""
        return {"text_config": f"flash_attention_{self.number}", "vision_config": "sdpa"}


_2 = _Version(2, "flash-attn", "flash_attn", 256, (8, 9, 10, 11, 12))
_3 = _Version(3, "flash-attn-3", "flash_attn_interface", 256, (8, 9))
_4 = _Version(4, "flash-attn-4", "flash_attn.cute", 128, (9, 10, 11, 12))
# The one made for a generation first.
_ORDER: Mapping[int, tuple[_Version, ...]] = {8: (_2, _3), 9: (_3, _2, _4)}


def choose_attention(
    wanted: Wanted, device: torch.device, dtype: torch.dtype, head_size: int = 128
) -> Attention:
    """Flash, then SDPA, when `wanted` is "auto"; ModelError when flash is asked for and not usable.

    `head_size` is that of the language model's attention. Nothing is ever fetched from the hub for it.
    """
    if wanted == "sdpa":
        return Attention("sdpa", "sdpa", "asked for by name")
    if wanted == "eager":
        return Attention("eager", "eager", "asked for by name")
    found = _find_flash(device, dtype, head_size)
    if isinstance(found, _Version):
        reason = "asked for by name" if wanted == "flash" else "installed, and fits device and model"
        return Attention("flash", found.implementation, f"flash-attn {found.number}: {reason}")
    if wanted == "flash":
        raise _refusal(found)
    lost = device.type == "cuda" and bool(_installed())
    return Attention("sdpa", "sdpa", found, f"attention runs on SDPA: {found}" if lost else None)


def why_no_flash(device: torch.device, dtype: torch.dtype, head_size: int = 128) -> str | None:
    """What stands against flash-attn here, or None when it can be used."""
    found = _find_flash(device, dtype, head_size)
    return None if isinstance(found, _Version) else found


def require_flash_package() -> None:
    """Refuse `--attention flash` where no flash-attn is installed: that shows without torch. Raises ModelError."""
    if not _installed():
        raise _refusal("flash-attn is not installed")


def installed_flash() -> tuple[str, ...]:
    """The packages of flash-attn on this machine, with their versions; the GPU decides which of them runs."""
    return tuple(f"flash ({one.package} {metadata.version(one.package)})" for one in _installed())


def _refusal(obstacle: str) -> ModelError:
    return ModelError(f"--attention flash: {obstacle}", hint="use --attention auto, which falls back to SDPA")


def _find_flash(device: torch.device, dtype: torch.dtype, head_size: int) -> _Version | str:
    """The flash-attn to use, or what stands against all of them."""
    import torch

    if device.type != "cuda":
        return "flash-attn needs CUDA"
    if not _installed():
        return "flash-attn is not installed"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"flash-attn needs bfloat16 or float16, not {str(dtype).removeprefix('torch.')}"
    generation = torch.cuda.get_device_capability(device)[0]
    obstacles = []
    for version in _ORDER.get(generation, (_4, _2)):
        if not _present(version):
            continue
        obstacle = _obstacle(version, generation, head_size)
        if obstacle is None:
            return version
        obstacles.append(f"flash-attn {version.number} {obstacle}")
    return "; ".join(obstacles) or "the installed flash-attn is not for this GPU"


def _obstacle(version: _Version, generation: int, head_size: int) -> str | None:
    """Cheapest first; the last word is transformers' own, which never speaks of kernels from the hub here."""
    if generation not in version.generations:
        return f"is not for GPUs of compute capability {generation}.x"
    if head_size > version.largest_head or head_size % 8:
        return f"does not take attention heads of size {head_size}"
    try:
        import_module(version.module)
    except (ImportError, OSError, RuntimeError) as error:  # built for another PyTorch or CUDA
        return f"cannot be imported ({error})"
    return None if _transformers_takes(version) else "is not one that transformers takes (too old?)"


def _transformers_takes(version: _Version) -> bool:
    from transformers import utils

    available: Callable[[], bool] = getattr(utils, f"is_flash_attn_{version.number}_available")
    return available()


def _installed() -> list[_Version]:
    return [version for version in (_2, _3, _4) if _present(version)]


def _present(version: _Version) -> bool:
    """Asked by the name of the package, as transformers does: versions 2 and 4 share the module's."""
    try:
        metadata.version(version.package)
    except metadata.PackageNotFoundError:
        return False
    return True
