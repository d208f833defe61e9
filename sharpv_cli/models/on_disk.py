"""What is already on this machine: the bytes of a model in a folder, the package, or the hub cache."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from sharpv_cli.models.refusal import Asking
from sharpv_cli.settings import BUILTIN_MODEL

BUILTIN_FOLDER = Path(str(files("sharpv_cli"))) / "assets" / "tiny"


def is_local(model_id: str) -> bool:
    """Whether an id means a folder: the built-in model, or what only a path looks like, such as `./name`.

    `owner/name` is a model on the hub, whatever lies in the working directory: a profile's model is the same anywhere.
    """
    path_like = model_id.startswith((".", "/", "~")) or model_id.count("/") > 1 or "\\" in model_id
    return model_id == BUILTIN_MODEL or path_like


def is_folder(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - unlike Path.is_dir it never raises, whatever the id


def local_size(model_id: str) -> int | None:
    """Bytes on disk of a model id (`builtin`, a folder or a hub id), None where it is not here.

    An interrupted download counts with what it left; `checkpoint.is_complete` tells the two apart.
    """
    path = str(BUILTIN_FOLDER) if model_id == BUILTIN_MODEL else os.path.expanduser(model_id)  # noqa: PTH111
    if is_local(model_id) and is_folder(path):
        folder = Path(path)
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return _hub_sizes().get(model_id)


@cache
def _hub_sizes() -> Mapping[str, int]:
    """Bytes of each model in the hub cache; a machine without a cache, or without a home for one, has none.

    Raises ModelError for a cache that cannot be read.
    """
    with Asking("the hub's cache"):
        from huggingface_hub import scan_cache_dir
        from huggingface_hub.constants import HF_HUB_CACHE
        from huggingface_hub.errors import CacheNotFound

        if HF_HUB_CACHE.startswith("~"):
            return {}
        try:
            repos = scan_cache_dir().repos
        except CacheNotFound:
            return {}
    return {repo.repo_id: repo.size_on_disk for repo in repos if repo.repo_type == "model"}
