"""What decides the visual part of a prompt: nothing that changes it is left out, for the wrong video is a wrong answer.

`VisualKey` is known without the model, `Maker` once it is loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sharpv_cli import __version__
from sharpv_cli.models.identity import checkpoint_identity
from sharpv_cli.settings import Settings, visual_part

if TYPE_CHECKING:
    from sharpv_cli.session import Session

# What decodes, prepares and encodes frames; any release of it may change a bit.
_PACKAGES = "av numpy pillow tokenizers torch torchvision transformers timm num2words flash-attn".split()
_OWN_CODE = ("video", "models", "pruning", "pipeline")


@dataclass(frozen=True, slots=True)
class VisualKey:
    """`video` is the SHA-256 of its bytes, `checkpoint` the identity of all that is loaded; `settings` and `software`
    are JSON, so that two keys are equal where everything in them is.
    """

    video: str
    checkpoint: str
    settings: str
    software: str

    @classmethod
    def of(cls, video: str, settings: Settings, checkpoint: str | None = None) -> Self:
        """The identity of the `checkpoint` is read where it is not given: ModelError where it cannot be used."""
        if checkpoint is None:
            checkpoint = checkpoint_identity(settings.model, offline=settings.offline)
        return cls(video, checkpoint, json.dumps(visual_part(settings), sort_keys=True), software())

    @property
    def name(self) -> str:
        return _name(asdict(self))


@dataclass(frozen=True, slots=True)
class Maker:
    """On what the visual part was made: number format, device, attention and engine change its bits."""

    dtype: str
    device: str
    attention: str
    engine: str

    @classmethod
    def of(cls, session: Session) -> Self:
        info = session.loaded.info
        return cls(info.dtype, _device(session), info.attention, session.engine.name)

    @property
    def name(self) -> str:
        return _name(asdict(self))


@cache
def software() -> str:
    """The versions of all that has a part in it, our own sources among them, as JSON."""
    versions = {"sharpv": __version__, "code": _own_code()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return json.dumps(versions, sort_keys=True)


def _own_code() -> str:
    home, digest = Path(__file__).parents[1], hashlib.sha256()
    for folder in _OWN_CODE:
        for file in sorted((home / folder).rglob("*.py")):
            digest.update(f"{file.relative_to(home)}:{file.stat().st_size}:".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _device(session: Session) -> str:
    """Its kind and, as far as it is known, which one: kernels are chosen by it."""
    import torch

    device = session.loaded.device
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    if device.type != "cpu":
        return device.type
    from sharpv_cli.models.tower import onednn_is_quicker

    products = " oneDNN, GELU" if onednn_is_quicker() else ""
    return f"cpu {torch.backends.cpu.get_cpu_capability()}{products}"


def _name(parts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
