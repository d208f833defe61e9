"""What tells one checkpoint from another of the same name: its files may be trained anew or downloaded anew."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sharpv_cli.models.checkpoint import locate
from sharpv_cli.settings import ModelSettings

_ENDS_BYTES = 1 << 20


def weights_identity(model: ModelSettings, *, offline: bool = False) -> str:
    """A digest of the checkpoint's weights: names, sizes, first and last MiB of each file; quick, and without torch.

    Empty where the checkpoint is not on this machine yet. Raises ModelError as `checkpoint.locate` does.
    """
    folder = locate(model, offline=offline)
    if folder is None:
        return ""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(f"{file.name} {file.stat().st_size}".encode())
        digest.update(_ends(file))
    return digest.hexdigest()[:16]


def _ends(file: Path) -> bytes:
    with file.open("rb") as stream:
        first = stream.read(_ENDS_BYTES)
        stream.seek(max(len(first), file.stat().st_size - _ENDS_BYTES))
        return first + stream.read(_ENDS_BYTES)
