"""Finding a checkpoint's folder and checking it before torch or transformers are imported."""

from __future__ import annotations

import os
from pathlib import Path

from sharpv_cli.errors import ModelError
from sharpv_cli.models import hub
from sharpv_cli.models.attention import require_flash_package
from sharpv_cli.models.families import family_of
from sharpv_cli.models.inspecting import Checkpoint, inspect, missing_file
from sharpv_cli.models.on_disk import BUILTIN_FOLDER, is_folder, is_local
from sharpv_cli.near import with_near_name
from sharpv_cli.settings import BUILTIN_MODEL, ModelSettings


def check(model: ModelSettings, *, offline: bool = False) -> None:
    """Refuse what can be refused in a moment and without the network.

    Raises ModelError: a folder that is missing or incomplete, weights that are pickled or cut short, an
    unknown model type, `flash` where no flash-attn is installed, and offline an id that is not in the local
    cache. An id that may be downloaded passes.
    """
    if model.attention == "flash":
        require_flash_package()
    if model.family is not None and not is_local(model.id):
        # A profile names its family, so nothing is downloaded for one that is only planned.
        family_of(model.family, model.id)
    folder = locate(model, offline=offline)
    if folder is not None:
        inspect(folder, model)


def fetch(model: ModelSettings, *, offline: bool = False) -> Checkpoint:
    """The checkpoint as it was inspected; a hub id is downloaded where needed. Raises ModelError.

    What is complete in the hub's cache is used as it is, without asking the hub for a newer one.
    """
    folder = locate(model, offline=offline)
    if folder is None:
        for _ in hub.download(model):
            pass
        folder, _ = hub.cached(model)
        assert folder is not None, model.id
    return inspect(folder, model)


def is_complete(model: ModelSettings) -> bool:
    """Whether every file of the model is on this machine, at its revision. False for a name that is no hub id."""
    try:
        folder = locate(model)
    except ModelError:
        return False
    return folder is not None and missing_file(folder) is None


def locate(model: ModelSettings, *, offline: bool = False) -> Path | None:
    """The folder of a checkpoint on this machine; None for a hub id that has to be downloaded first.

    Raises ModelError: no such folder, no possible id, and offline an id that is not (or partly) in the cache.
    """
    if model.id == BUILTIN_MODEL:
        return _folder(str(BUILTIN_FOLDER), "the built-in model")
    if is_local(model.id):
        return _folder(os.path.expanduser(model.id), model.id)  # noqa: PTH111 - never raises
    folder, complete = hub.cached(model)
    if complete:
        return folder
    if "/" not in model.id and os.path.exists(model.id):  # noqa: PTH110 - never raises
        _folder(model.id, model.id)
        raise ModelError(f"{model.id}: no model on the hub, which has an owner", hint=f"write ./{model.id}")
    if offline and (folder is None or missing_file(folder)):
        raise hub.not_cached(model, folder)
    return folder if offline else None


def commit_of(folder: Path) -> str | None:
    """The commit of a folder in the hub's cache; None for any other folder."""
    return folder.name if folder.parent.name == "snapshots" else None


def _folder(path: str, name: str) -> Path:
    if is_folder(path):
        return Path(path)
    hint = "give a folder with config.json and *.safetensors, or a hub id"
    if os.path.exists(path):  # noqa: PTH110
        raise ModelError(f"{name}: is a file, not a model's folder", hint=hint)
    raise ModelError(f"{name}: no such folder", hint=with_near_name(path, hint))
