"""The weights of a checkpoint by the headers of its safetensors files: their names, sizes and number formats."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpv_cli.errors import ModelError
from sharpv_cli.models.jsonfile import AGAIN, read_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_SUFFIX = ".safetensors"
_CAST = {"F64", "F32", "F16", "BF16"}  # number formats that loading turns into the one that is asked for
_DISTRUST = "do not trust this checkpoint; download it again from its source"


@dataclass(frozen=True, slots=True)
class Weights:
    """`names` of all tensors, and how many numbers the files hold by number format, in safetensors' own words."""

    files: tuple[Path, ...]
    names: tuple[str, ...]
    elements: Counter[str]

    @property
    def file_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)

    @property
    def numbers(self) -> int:
        """How many numbers a dtype is chosen for."""
        return sum(count for dtype, count in self.elements.items() if dtype in _CAST)

    @property
    def fixed_bytes(self) -> int:
        """Bytes of everything else, which stays as it is (quantised)."""
        return sum(count * _itemsize(dtype) for dtype, count in self.elements.items() if dtype not in _CAST)


def read_weights(files: list[Path], name: str) -> Weights:
    """What the headers say; opening checks them against the files' sizes, so that a cut file shows at once.

    Raises ModelError.
    """
    from safetensors import SafetensorError, safe_open

    names: list[str] = []
    elements: Counter[str] = Counter()
    for file in files:
        try:
            with safe_open(file, framework="np") as tensors:
                for tensor in tensors.keys():  # noqa: SIM118 - it is no mapping
                    part = tensors.get_slice(tensor)
                    names.append(tensor)
                    elements[part.get_dtype()] += math.prod(part.get_shape())
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{name}: {file.name} is damaged or cut short: {error}", hint=AGAIN) from error
    return Weights(tuple(files), tuple(names), elements)


def weight_files(folder: Path, name: str, config: Mapping[str, Any]) -> list[Path]:
    """The safetensors files of a checkpoint, sorted. Raises ModelError for what is missing or not safe."""
    found = WEIGHTS if (folder / WEIGHTS).is_file() else INDEX
    _refuse_others(config.get("transformers_weights"), found, name)
    if found == WEIGHTS:
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        return _shards(folder, name)
    pickled = sorted(path.name for path in folder.glob("*.bin"))
    if pickled:
        raise pickled_weights(name, pickled[0])
    raise ModelError(f"{name}: no weights ({WEIGHTS}) in the folder", hint=AGAIN)


def pickled_weights(name: str, file: str) -> ModelError:
    """What is said of a checkpoint without safetensors."""
    return ModelError(
        f"{name}: its weights are pickled ({file}), which can run code when they are read",
        hint="only safetensors are read: convert the checkpoint, or pick one with *.safetensors",
    )


def _refuse_others(named: object, found: str, name: str) -> None:
    """transformers would read the file that config.json names, whatever it is, and not those that lie there."""
    if named is None or named == found:
        return
    if isinstance(named, str) and not named.endswith((_SUFFIX, f"{_SUFFIX}.index.json")):
        raise pickled_weights(name, named)
    raise ModelError(
        f"{name}: its config.json asks for weights of another name ({named!r})",
        hint=f"call them {WEIGHTS} and take transformers_weights out of config.json, if you trust them",
    )


def _shards(folder: Path, name: str) -> list[Path]:
    index = read_json(folder, INDEX, name).get("weight_map")
    names = sorted(set(map(str, index.values()))) if isinstance(index, dict) else []
    outside = [shard for shard in names if set(shard) & set("/\\\0") or not shard.strip(".")]
    if outside:
        raise ModelError(
            f"{name}: {INDEX} names a file outside of the folder: {outside[0]!r}", hint=_DISTRUST
        )
    other = [shard for shard in names if not shard.endswith(_SUFFIX)]
    if other:
        raise pickled_weights(name, other[0])
    missing = [shard for shard in names if not (folder / shard).is_file()]
    if missing or not names:
        raise ModelError(
            f"{name}: weights missing: {', '.join(missing) or 'all of them'}",
            hint="copy or download the folder again",
        )
    return [folder / shard for shard in names]


def _itemsize(dtype: str) -> int:
    """Bytes of a safetensors dtype such as `I32`, `U8`, `F8_E4M3` or `BOOL`."""
    digits = "".join(char for char in dtype.partition("_")[0] if char.isdigit())
    return max(1, int(digits) // 8) if digits else 1
