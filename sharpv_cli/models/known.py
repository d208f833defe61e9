"""What is known of a model before its weights are: from its folder on this machine, or from facts that are shipped.

Shipped facts (assets/configs) are the parts of published config.json files that decide shapes; each says where
it comes from. transformers builds its config objects from them, so that defaults are its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from sharpv_cli.errors import ModelError
from sharpv_cli.models.checkpoint import locate
from sharpv_cli.models.context import usable_context
from sharpv_cli.models.families import Family, family_of
from sharpv_cli.models.inspecting import inspect, read_json, weight_files
from sharpv_cli.models.local import BUILTIN_FOLDER

if TYPE_CHECKING:
    from sharpv_cli.models.loading import LoadedModel
    from sharpv_cli.settings import ModelSettings

FACTS_FOLDER = BUILTIN_FOLDER.parent / "configs"
_CAST = {"F64", "F32", "F16", "BF16"}  # number formats that loading turns into the one that is asked for


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model without its weights: all that memory and token counts depend on.

    `config` is transformers' config object; `video_processor` has the size limits of the checkpoint's own.
    `parameters` counts numbers that a dtype is chosen for, `fixed_bytes` is what stays as it is (quantised).
    """

    id: str
    source: Literal["folder", "shipped facts", "loaded"]
    family: Family
    config: Any
    video_processor: Any
    parameters: int
    fixed_bytes: int = 0

    def weights_bytes(self, itemsize: int) -> int:
        """Bytes of the weights when numbers take `itemsize` bytes."""
        return self.parameters * itemsize + self.fixed_bytes

    def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """(T, rows, columns) of the visual tokens of so many frames of that size in pixels."""
        return self.family.grid(self.config, self.video_processor, frames, height, width)

    @property
    def context(self) -> int | None:
        """How many positions the language model can tell apart, None where its config does not say."""
        return usable_context(self.config.get_text_config())


def known(model: ModelSettings) -> KnownModel:
    """What is known of the model that the settings name; nothing is downloaded and no weights are read.

    Raises ModelError: no such folder, an incomplete one, and a hub id that is neither here nor shipped.
    """
    folder = locate(model)
    if folder is not None:
        inspect(folder, model)
        return _of_folder(folder, model.id)
    facts = shipped().get(model.id)
    if facts is None:
        raise ModelError(
            f"{model.id}: not on this machine, and no facts about it are shipped",
            hint=f"`sharpv models pull {model.id}` fetches it; or give a folder",
        )
    return KnownModel(
        id=model.id,
        source="shipped facts",
        family=family_of(facts["config"]["model_type"], model.id),
        config=_config(facts["config"], model.id),
        video_processor=SimpleNamespace(**facts["video_processor"]),
        parameters=facts["parameters"],
    )


def of_loaded(loaded: LoadedModel) -> KnownModel:
    """The same of a model that is loaded; its weights are what they are, whatever the itemsize."""
    return KnownModel(
        id=loaded.info.id,
        source="loaded",
        family=loaded.family,
        config=loaded.model.config,
        video_processor=loaded.processor.video_processor,
        parameters=0,
        fixed_bytes=loaded.weights_bytes,
    )


@cache
def shipped() -> Mapping[str, Mapping[str, Any]]:
    """The shipped facts by model id, as their files have them."""
    files = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(FACTS_FOLDER.glob("*.json")))
    return {facts["id"]: facts for facts in files}


def parameters(model: ModelSettings) -> int | None:
    """How many numbers the weights of a model have, from shipped facts or files; transformers is not imported.

    None where that is not known: a model that is neither here nor shipped, or packed (quantised) weights.
    """
    if (facts := shipped().get(model.id)) is not None:
        return int(facts["parameters"])
    try:
        folder = locate(model)
        if folder is None:
            return None
        inspect(folder, model)
        numbers, packed = count_weights(weight_files(folder, model.id))
    except ModelError:
        return None
    return None if packed else numbers


def _of_folder(folder: Path, model_id: str) -> KnownModel:
    config = read_json(folder, "config.json", model_id)
    parameters, fixed = count_weights(weight_files(folder, model_id))
    return KnownModel(
        id=model_id,
        source="folder",
        family=family_of(config["model_type"], model_id),
        config=_config(config, model_id),
        video_processor=_video_processor(folder, model_id),
        parameters=parameters,
        fixed_bytes=fixed,
    )


def _config(values: Mapping[str, Any], model_id: str) -> Any:
    from transformers import CONFIG_MAPPING

    rest = {key: value for key, value in values.items() if key != "model_type"}
    try:
        return CONFIG_MAPPING[values["model_type"]].from_dict(rest)
    except (ImportError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{model_id}: its config.json cannot be used: {error}", hint="copy or download it again"
        ) from error


def _video_processor(folder: Path, model_id: str) -> Any:
    """As saved by transformers 5, which writes every value; older files need the class with its defaults."""
    if (folder / "processor_config.json").is_file():
        saved = read_json(folder, "processor_config.json", model_id).get("video_processor")
        if isinstance(saved, dict) and "size" in saved:
            return SimpleNamespace(**saved)
    from transformers import AutoVideoProcessor

    try:
        return AutoVideoProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        raise ModelError(
            f"{model_id}: its video processor cannot be read: {error}", hint="copy or download it again"
        ) from error


def count_weights(files: list[Path]) -> tuple[int, int]:
    """Of safetensors files, by their headers: how many numbers a dtype is chosen for, and bytes of all else."""
    from safetensors import safe_open

    numbers = fixed = 0
    for file in files:
        with safe_open(file, framework="np") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no mapping
                part = tensors.get_slice(name)
                count, dtype = math.prod(part.get_shape()), part.get_dtype()
                numbers += count if dtype in _CAST else 0
                fixed += 0 if dtype in _CAST else count * _itemsize(dtype)
    return numbers, fixed


def _itemsize(dtype: str) -> int:
    """Bytes of a safetensors dtype such as `I32`, `U8`, `F8_E4M3` or `BOOL`."""
    digits = "".join(char for char in dtype.partition("_")[0] if char.isdigit())
    return max(1, int(digits) // 8) if digits else 1
