"""Everything about a checkpoint's folder that shows without reading the weights, in a moment and without torch."""

from __future__ import annotations

import json
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sharpv_cli.errors import ModelError
from sharpv_cli.models.families import family_of
from sharpv_cli.models.quantized import require_packages
from sharpv_cli.settings import BUILTIN_MODEL, ModelSettings

CONFIG = "config.json"
GENERATION = "generation_config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
PROCESSOR_FILES = ("processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json")
_AGAIN = "copy or download it again"


def inspect(folder: Path, model: ModelSettings) -> None:
    """Refuse a folder that cannot be loaded, as far as that shows without reading the weights.

    Raises ModelError: a file that is missing or no valid JSON, an unknown model type, another family than was
    asked for, a package that the family or the quantisation needs, weights that are pickled, cut short or
    outside of the folder.
    """
    name = said(model)
    config = read_json(folder, CONFIG, name)
    inspect_config(config, model)
    if (folder / GENERATION).exists():
        read_json(folder, GENERATION, name)  # transformers passes a broken one by in silence
    for file in weight_files(folder, name):
        _check_weights(file, name)
    _require_one(folder, TOKENIZER_FILES, "tokenizer", name)
    _require_one(folder, PROCESSOR_FILES, "processor", name)


def inspect_config(config: dict[str, Any], model: ModelSettings) -> None:
    """The part of `inspect` that needs the config only, so that nothing is downloaded for nothing."""
    name, model_type = said(model), config.get("model_type")
    try:
        family = family_of(model_type, name)
    except ModelError as error:
        raise ModelError(str(error), hint=f"{error.hint}{_newer(config)}") from error
    if model.family is not None and model.family != model_type:
        raise ModelError(
            f"{name}: family {model.family!r} was asked for, but its config says {model_type!r}",
            hint="leave the family out: it is read from the config",
        )
    _require_installed(family.needs, family.name, name)
    require_packages(config, name)


def missing_file(folder: Path) -> str | None:
    """The first file that a complete checkpoint has and this folder lacks; None where it is complete."""
    try:
        weight_files(folder, "")
    except ModelError:
        return WEIGHTS
    return missing_name({path.name for path in folder.iterdir() if path.is_file()})


def missing_name(names: Collection[str]) -> str | None:
    """As `missing_file`, of a list of files, weights apart."""
    groups = ((CONFIG,), TOKENIZER_FILES, PROCESSOR_FILES)
    return next((group[0] for group in groups if not set(group) & set(names)), None)


def said(model: ModelSettings) -> str:
    """A model's name in messages."""
    return "the built-in model" if model.id == BUILTIN_MODEL else model.id


def weight_files(folder: Path, name: str) -> list[Path]:
    """The safetensors files of a checkpoint, sorted. Raises ModelError for what is missing or not safe."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        return _shards(folder, name)
    pickled = sorted(path.name for path in folder.glob("*.bin"))
    if pickled:
        raise pickled_weights(name, pickled[0])
    raise ModelError(f"{name}: no weights ({WEIGHTS}) in the folder", hint=_AGAIN)


def pickled_weights(name: str, file: str) -> ModelError:
    """What is said of a checkpoint without safetensors."""
    return ModelError(
        f"{name}: its weights are pickled ({file}), which can run code when they are read",
        hint="only safetensors are read: convert the checkpoint, or pick one with *.safetensors",
    )


def _shards(folder: Path, name: str) -> list[Path]:
    index = read_json(folder, INDEX, name).get("weight_map")
    names = sorted(set(map(str, index.values()))) if isinstance(index, dict) else []
    outside = [shard for shard in names if set(shard) & set("/\\\0") or not shard.strip(".")]
    if outside:
        raise ModelError(
            f"{name}: {INDEX} names a file outside of the folder: {outside[0]!r}",
            hint="do not trust this checkpoint; download it again from its source",
        )
    missing = [shard for shard in names if not (folder / shard).is_file()]
    if missing or not names:
        raise ModelError(
            f"{name}: weights missing: {', '.join(missing) or 'all of them'}",
            hint="copy or download the folder again",
        )
    return [folder / shard for shard in names]


def _check_weights(file: Path, name: str) -> None:
    """Opening reads the header and checks it against the file's size: a cut file shows here, at once."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{name}: {file.name} is damaged or cut short: {error}", hint=_AGAIN) from error


def _require_one(folder: Path, names: tuple[str, ...], what: str, model_name: str) -> None:
    if not any((folder / name).is_file() for name in names):
        raise ModelError(
            f"{model_name}: no {what} in the folder ({names[0]})",
            hint="save the processor next to the weights, or pick another checkpoint",
        )


def _require_installed(packages: tuple[str, ...], family: str, name: str) -> None:
    absent = [package for package in packages if find_spec(package.replace("-", "_")) is None]
    if absent:
        raise ModelError(
            f"{name}: {family} needs {' and '.join(absent)}, which is not installed",
            hint=f"pip install {' '.join(absent)}",
        )


def _newer(config: dict[str, Any]) -> str:
    """A sentence for a hint where the config was written by a newer transformers than the one installed."""
    wrote, installed = str(config.get("transformers_version", "")), _transformers_version()
    if installed is None or _numbers(wrote) <= _numbers(installed):
        return ""
    return (
        f"; it was saved by transformers {wrote}, and {installed} is installed: pip install -U transformers"
    )


def newer_hint(folder: Path) -> str:
    """As part of a hint: whether `folder` was saved by a newer transformers; empty where not."""
    return _newer(read_json(folder, CONFIG, ""))


def _transformers_version() -> str | None:
    try:
        return version("transformers")
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    """`5.23.0.dev0` as (5, 23, 0); nothing where it does not begin with numbers."""
    parts = []
    for part in text.split("."):
        if not part.isascii() or not part.isdigit():
            break
        parts.append(int(part[:9]))
    return tuple(parts)


def read_json(folder: Path, file: str, name: str) -> dict[str, Any]:
    """The object in a JSON file of a checkpoint. Raises ModelError."""
    try:
        content = json.loads((folder / file).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"{name}: no {file} in the folder",
            hint="is it the folder of a checkpoint in transformers format?",
        ) from error
    except RecursionError as error:
        raise ModelError(f"{name}: {file} is nested too deeply", hint=_AGAIN) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{name}: {file} cannot be read: {error}", hint=_AGAIN) from error
    if not isinstance(content, dict):
        raise ModelError(f"{name}: {file} is not a JSON object", hint=_AGAIN)
    return content
