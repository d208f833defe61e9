"""Everything about a checkpoint's folder that shows without reading the weights, in a moment and without torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from sharpv_cli.errors import ModelError
from sharpv_cli.models.adapters import ADAPTER, refuse_adapter
from sharpv_cli.models.families import family_of
from sharpv_cli.models.jsonfile import AGAIN, CONFIG, read_json
from sharpv_cli.models.quantized import require_packages
from sharpv_cli.models.tensors import WEIGHTS, Weights, read_weights, weight_files
from sharpv_cli.settings import BUILTIN_MODEL, ModelSettings

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
PROCESSOR_FILES = ("processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json")
GENERATION = "generation_config.json"
# The small files that transformers takes settings from.
SETTINGS = (
    *(*PROCESSOR_FILES, GENERATION),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.json"),
)
# Other files that are read whole, as patterns, and how large the largest may be: twice any known vocabulary.
DATA = ("tokenizer.json", "vocab.json", "*.model", "*.txt", "*.jinja", "additional_chat_templates/*.jinja")
_MOST_DATA_BYTES = 128 << 20
# Settings that name a class of transformers, and what such a class is called: any other would be made just as well.
_NAMES_CLASS = frozenset(
    {
        "processor_class",
        "image_processor_type",
        "video_processor_type",
        "feature_extractor_type",
        "tokenizer_class",
    }
)
_PARTS = ("Processor", "FeatureExtractor", "Tokenizer", "Backend")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that was inspected. `name` is for messages; `config` and `settings` are what its JSON files hold.

    What is loaded is what stands here: nothing looks into the folder for other files.
    """

    folder: Path
    name: str
    config: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Any]]
    weights: Weights


def inspect(folder: Path, model: ModelSettings) -> Checkpoint:
    """Refuse a folder that cannot be loaded, as far as that shows without reading the weights.

    Raises ModelError: a file that is missing or no valid JSON, an adapter, an unknown model type, another family
    than was asked for, a package that the family or the quantisation needs, weights that are pickled, cut short or
    outside of the folder.
    """
    name = said(model)
    if (folder / ADAPTER).exists():
        refuse_adapter(read_json(folder, ADAPTER, name), name, whole=(folder / CONFIG).exists())
    config = read_json(folder, CONFIG, name)
    inspect_config(config, model)
    weights = read_weights(weight_files(folder, name, config), name)
    _require_one(folder, TOKENIZER_FILES, "tokenizer", name)
    _require_one(folder, PROCESSOR_FILES, "processor", name)
    settings = {file: read_json(folder, file, name) for file in SETTINGS if (folder / file).exists()}
    _refuse_other_classes(settings, name)
    _refuse_large(data_files(folder), name)
    return Checkpoint(folder, name, config, settings, weights)


def inspect_config(config: dict[str, Any], model: ModelSettings) -> None:
    """The part of `inspect` that needs the config only, so that nothing is downloaded for nothing."""
    name, model_type = said(model), config.get("model_type")
    try:
        family = family_of(model_type, name)
    except ModelError as error:
        raise ModelError(str(error), hint=f"{error.hint}{newer(config)}") from error
    if model.family is not None and model.family != model_type:
        raise ModelError(
            f"{name}: family {model.family!r} was asked for, but its config says {model_type!r}",
            hint="leave the family out: it is read from the config",
        )
    _refuse_towers_elsewhere(config.get("vision_config"), name)
    _require_installed(family.needs, family.name, name)
    require_packages(config, name)


def data_files(folder: Path) -> list[Path]:
    """Vocabularies and templates."""
    return [path for pattern in DATA for path in folder.glob(pattern) if path.is_file()]


def missing_file(folder: Path) -> str | None:
    """The first file that a complete checkpoint has and this folder lacks; None where it is complete."""
    try:
        weight_files(folder, "", {})
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


def _require_one(folder: Path, names: tuple[str, ...], what: str, model_name: str) -> None:
    if not any((folder / name).is_file() for name in names):
        raise ModelError(
            f"{model_name}: no {what} in the folder ({names[0]})",
            hint="save the processor next to the weights, or pick another checkpoint",
        )


def _refuse_large(files: list[Path], name: str) -> None:
    if too_large := [file.name for file in files if file.stat().st_size > _MOST_DATA_BYTES]:
        raise ModelError(f"{name}: {too_large[0]} is larger than {_MOST_DATA_BYTES >> 20} MiB", hint=AGAIN)


def _refuse_other_classes(settings: Mapping[str, Any], name: str) -> None:
    """transformers would make whatever class has this name, a model of billions of weights as well."""
    for file, content in settings.items():
        for key, value in _named_in(content):
            if isinstance(value, str) and not any(part in value for part in _PARTS):
                raise ModelError(f"{name}: its {file} asks for {key} = {value[:100]!r}", hint=AGAIN)


def _named_in(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings that name classes, also those of the parts of a processor."""
    for key, value in content.items():
        if key in _NAMES_CLASS:
            yield key, value
        elif isinstance(value, dict):
            yield from ((inner, value[inner]) for inner in value if inner in _NAMES_CLASS)


def _refuse_towers_elsewhere(vision: object, name: str) -> None:
    """timm would fetch what `hf-hub:owner/name` or `local-dir:path` says."""
    architecture = vision.get("architecture") if isinstance(vision, dict) else None
    if isinstance(architecture, str) and set(architecture) & set(":/\\"):
        raise ModelError(
            f"{name}: its config.json takes the vision tower from elsewhere ({architecture})",
            hint="pick a checkpoint that holds all of its weights",
        )


def _require_installed(packages: tuple[str, ...], family: str, name: str) -> None:
    absent = [package for package in packages if find_spec(package.replace("-", "_")) is None]
    if absent:
        raise ModelError(
            f"{name}: {family} needs {' and '.join(absent)}, which is not installed",
            hint=f"pip install {' '.join(absent)}",
        )


def newer(config: Mapping[str, Any]) -> str:
    """A sentence for a hint where the config was written by a newer transformers than the one installed."""
    try:
        wrote, installed = Version(str(config.get("transformers_version"))), Version(version("transformers"))
    except (InvalidVersion, PackageNotFoundError):
        return ""
    if wrote.release <= installed.release:
        return ""
    return (
        f"; it was saved by transformers {wrote}, and {installed} is installed: pip install -U transformers"
    )
