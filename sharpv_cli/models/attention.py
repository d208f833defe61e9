"""Which attention back-end the language model runs on, and why, in words."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import torch

from sharpv_cli.errors import ModelError


@dataclass(frozen=True, slots=True)
class Attention:
    """`name` for the user, `implementation` for transformers' `from_pretrained`, `reason` in words."""

    name: Literal["flash", "sdpa", "eager"]
    implementation: str | dict[str, str]
    reason: str


# Vision towers stay on SDPA: their head sizes and wrappers are not always what flash-attn takes.
_FLASH: dict[str, str] = {"text_config": "flash_attention_2", "vision_config": "sdpa"}


def choose_attention(
    wanted: Literal["auto", "flash", "sdpa", "eager"], device: torch.device, dtype: torch.dtype
) -> Attention:
    """Flash, then SDPA, when `wanted` is "auto"; ModelError when flash is asked for and not usable."""
    if wanted == "sdpa":
        return Attention("sdpa", "sdpa", "asked for by name")
    if wanted == "eager":
        return Attention("eager", "eager", "asked for by name")
    obstacle = why_no_flash(device, dtype)
    if wanted == "flash":
        if obstacle is not None:
            raise ModelError(
                f"--attention flash: {obstacle}", hint="use --attention auto, which falls back to SDPA"
            )
        return Attention("flash", _FLASH, "asked for by name")
    if obstacle is not None:
        return Attention("sdpa", "sdpa", obstacle)
    return Attention("flash", _FLASH, "flash-attn is installed and the device is CUDA")


def why_no_flash(device: torch.device, dtype: torch.dtype) -> str | None:
    """What stands against flash-attn here, or None when it can be used."""
    if device.type != "cuda":
        return f"flash-attn needs CUDA, not {device.type}"
    if find_spec("flash_attn") is None:
        return "flash-attn is not installed"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"flash-attn needs bfloat16 or float16, not {str(dtype).removeprefix('torch.')}"
    try:
        import flash_attn  # noqa: F401
    except (ImportError, OSError) as error:  # built for another PyTorch or CUDA
        return f"flash-attn cannot be imported ({error})"
    from transformers.utils import is_flash_attn_2_available

    return None if is_flash_attn_2_available() else "flash-attn is older than transformers needs"
