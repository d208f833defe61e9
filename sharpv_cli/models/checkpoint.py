"""Finding a checkpoint's folder and checking it before torch or transformers are imported."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sharpv_cli.errors import ModelError
from sharpv_cli.models.families import family_of
from sharpv_cli.models.local import BUILTIN_FOLDER
from sharpv_cli.settings import BUILTIN_MODEL, ModelSettings

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
# What transformers needs of a hub repository; weights in other formats stay there.
PATTERNS = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
PROCESSOR_FILES = ("processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json")


def check(model: ModelSettings, *, offline: bool = False) -> None:
    """Refuse what can be refused in a moment and without the network.

    Raises ModelError: a folder that is missing or incomplete, weights that are pickled or cut short, an
    unknown model type, and offline an id that is not in the local cache. An id that may be downloaded
    passes.
    """
    if model.family is not None and not _is_local(model.id):
        # A profile names its family, so nothing is downloaded for one that is only planned.
        family_of(model.family, model.id)
    if _is_local(model.id) or offline:
        _inspect(_locate(model, offline=offline), model)


def fetch(model: ModelSettings, *, offline: bool = False) -> Path:
    """The folder of the checkpoint, checked; a hub id is downloaded where needed. Raises ModelError."""
    folder = _locate(model, offline=offline)
    _inspect(folder, model)
    return folder


def commit_of(folder: Path) -> str | None:
    """The commit of a folder in the hub's cache; None for any other folder."""
    return folder.name if folder.parent.name == "snapshots" else None


def _is_local(model_id: str) -> bool:
    """Whether an id means a folder: the built-in model, an existing path, or what only a path looks like."""
    path_like = model_id.startswith((".", "/", "~")) or model_id.count("/") > 1 or "\\" in model_id
    return model_id == BUILTIN_MODEL or path_like or os.path.exists(model_id)  # noqa: PTH110 - never raises


def _locate(model: ModelSettings, *, offline: bool) -> Path:
    if model.id == BUILTIN_MODEL:
        return _folder(str(BUILTIN_FOLDER), "the built-in model")
    if _is_local(model.id):
        return _folder(os.path.expanduser(model.id), model.id)  # noqa: PTH111 - never raises
    return _snapshot(model, offline=offline)


def _folder(path: str, name: str) -> Path:
    if os.path.isdir(path):  # noqa: PTH112 - never raises, whatever the name
        return Path(path)
    what = "is a file, not a model's folder" if os.path.exists(path) else "no such folder"  # noqa: PTH110
    raise ModelError(f"{name}: {what}", hint="give a folder with config.json and *.safetensors, or a hub id")


def _snapshot(model: ModelSettings, *, offline: bool) -> Path:
    """The hub's snapshot of a repository in the local cache, downloaded when it is not there yet."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                model.id, revision=model.revision, allow_patterns=PATTERNS, local_files_only=offline
            )
        )
    except (OSError, ValueError) as error:  # every hub error is one of the two
        raise _hub_refusal(model, error, offline=offline) from error


def _hub_refusal(model: ModelSettings, error: Exception, *, offline: bool) -> ModelError:
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return ModelError(
            f"{model.id}: the hub gives it only to accounts with access",
            hint="ask for access on its page, then log in with `hf auth login`",
        )
    if isinstance(error, RevisionNotFoundError):
        return ModelError(f"{model.id}: no revision {model.revision!r}", hint="check --revision")
    if isinstance(error, RepositoryNotFoundError):
        return ModelError(
            f"{model.id}: no such model on the hub", hint="check the name, or log in if private"
        )
    if isinstance(error, HFValidationError):
        return ModelError(f"{model.id}: neither a folder nor a hub id", hint="hub ids look like owner/name")
    if offline:
        return ModelError(
            f"{model.id}: not in the local cache, and --offline forbids a download",
            hint="run once without --offline, or give a folder",
        )
    if isinstance(error, LocalEntryNotFoundError):
        return ModelError(
            f"{model.id}: not in the local cache, and the hub cannot be reached",
            hint="check the network, or give a folder",
        )
    return ModelError(f"{model.id}: cannot be downloaded: {error}", hint="check the network and the disk")


def _inspect(folder: Path, model: ModelSettings) -> None:
    """Everything about a folder that shows without reading the weights."""
    name = "the built-in model" if model.id == BUILTIN_MODEL else model.id
    model_type = _read_json(folder, "config.json", name).get("model_type")
    family_of(model_type, name)
    if model.family is not None and model.family != model_type:
        raise ModelError(
            f"{name}: family {model.family!r} was asked for, but its config says {model_type!r}",
            hint="leave the family out: it is read from the config",
        )
    for file in _weight_files(folder, name):
        _check_weights(file, name)
    _require_one(folder, TOKENIZER_FILES, "tokenizer", name)
    _require_one(folder, PROCESSOR_FILES, "processor", name)


def _weight_files(folder: Path, name: str) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        index = _read_json(folder, INDEX, name).get("weight_map")
        names = set(map(str, index.values())) if isinstance(index, dict) else set()
        shards = [folder / shard for shard in sorted(names)]
        missing = [shard.name for shard in shards if not shard.is_file()]
        if missing or not shards:
            raise ModelError(
                f"{name}: weights missing: {', '.join(missing) or 'all of them'}",
                hint="copy or download the folder again",
            )
        return shards
    pickled = sorted(path.name for path in folder.glob("*.bin"))
    if pickled:
        raise ModelError(
            f"{name}: its weights are pickled ({pickled[0]}), which can run code when they are read",
            hint="only safetensors are read: convert the checkpoint, or pick one with *.safetensors",
        )
    raise ModelError(f"{name}: no weights ({WEIGHTS}) in the folder", hint="copy or download it again")


def _check_weights(file: Path, name: str) -> None:
    """Opening reads the header and checks it against the file's size: a cut file shows here, at once."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{name}: {file.name} is damaged or cut short: {error}", hint="copy or download it again"
        ) from error


def _require_one(folder: Path, names: tuple[str, ...], what: str, model_name: str) -> None:
    if not any((folder / name).is_file() for name in names):
        raise ModelError(
            f"{model_name}: no {what} in the folder ({names[0]})",
            hint="save the processor next to the weights, or pick another checkpoint",
        )


def _read_json(folder: Path, file: str, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / file).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"{name}: no {file} in the folder",
            hint="is it the folder of a checkpoint in transformers format?",
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{name}: {file} cannot be read: {error}", hint="copy or download it again"
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"{name}: {file} is not a JSON object", hint="copy or download it again")
    return content
