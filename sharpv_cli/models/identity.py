"""What tells one checkpoint from another of the same name: its files may be trained anew, edited or downloaded anew.

Everything that is loaded counts, by content. Large files are read once: what they hold is remembered by what the
system says of them, which changes whenever somebody writes into them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from sharpv_cli.cores import cores
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
    return identity_reader(model, offline=offline)()


def identity_reader(model: ModelSettings, *, offline: bool = False) -> Callable[[], str]:
    """What gives the identity: it reads the large files, on any thread and from any folder. Raises ModelError."""
    folder = locate(model, offline=offline)
    if folder is None:
        return lambda: ""
    found = inspect(folder, model)
    texts = {name: json.dumps(content, sort_keys=True) for name, content in texts_of(found).items()}
    return partial(_identity, texts, {name: path.absolute() for name, path in files_of(found).items()})


def _identity(texts: Mapping[str, str], files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for parts in (*sorted(texts.items()), *sorted(_digests(files).items())):
        _add(digest, *parts)
    return digest.hexdigest()[:16]


def _add(digest: hashlib._Hash, *parts: str) -> None:
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))


def _digests(files: Mapping[str, Path]) -> dict[str, str]:
    """By name in the checkpoint."""
    folder = user_folder("cache", os.environ)
    store = Remembered(None if folder is None else folder / "digests.json")
    with ThreadPoolExecutor(max(1, min(_THREADS, cores() // 2))) as pool:  # others may compute meanwhile
        found = dict(zip(files, pool.map(store.digest, files.values()), strict=True))
    store.save()
    return found
