"""What tells one checkpoint from another of the same name: its files may be trained anew, edited or downloaded anew.

Everything that is loaded counts, by content. Large files are read once: what they hold is remembered by what the
system says of them, which changes whenever somebody writes into them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sharpv_cli.digests import Remembered
from sharpv_cli.folders import user_folder
from sharpv_cli.models.checkpoint import locate
from sharpv_cli.models.inspecting import inspect
from sharpv_cli.models.view import files_of, texts_of
from sharpv_cli.settings import ModelSettings

_THREADS = 4


def checkpoint_identity(model: ModelSettings, *, offline: bool = False) -> str:
    """A digest of all that is loaded of a checkpoint: weights, config, processor, tokenizer, templates; without torch.

    Empty where the checkpoint is not on this machine yet. Raises ModelError as `checkpoint.check` does.
    """
    folder = locate(model, offline=offline)
    if folder is None:
        return ""
    found = inspect(folder, model)
    digest = hashlib.sha256()
    for name, content in sorted(texts_of(found).items()):
        _add(digest, name, json.dumps(content, sort_keys=True))
    for name, own in sorted(_digests(files_of(found)).items()):
        _add(digest, name, own)
    return digest.hexdigest()[:16]


def _add(digest: hashlib._Hash, *parts: str) -> None:
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))


def _digests(files: Mapping[str, Path]) -> dict[str, str]:
    """By name in the checkpoint."""
    folder = user_folder("cache", os.environ)
    store = Remembered(None if folder is None else folder / "digests.json")
    with ThreadPoolExecutor(_THREADS) as pool:
        found = dict(zip(files, pool.map(store.digest, files.values()), strict=True))
    store.save()
    return found
