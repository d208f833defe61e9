"""What the files of a checkpoint on this machine say about it, without torch and without reading weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sharpv_cli.models.attention import installed_flash
from sharpv_cli.models.context import stretched
from sharpv_cli.models.inspecting import Checkpoint
from sharpv_cli.models.quantized import method_of

# Decoder layers as checkpoints name them; the layers of vision towers stand below `encoder` or are `blocks`.
_LAYER = re.compile(r"(?:^|\.)(?:model|language_model|text_model)\.layers\.(\d+)\.")
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3", "F64": "float64"}


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """`context` is in positions, None where the config leaves it to transformers' default.

    `dtypes` are the number formats of the weights, the most used first; `weights_bytes` is the size of their files.
    `quantization` names the method, None where there is none. `attention` are the backends that can be asked for.
    """

    family: str
    layers: int
    context: int | None
    dtypes: tuple[str, ...]
    weights_bytes: int
    quantization: str | None
    attention: tuple[str, ...]


def read_facts(checkpoint: Checkpoint) -> CheckpointFacts:
    """The facts of a checkpoint."""
    config, weights = checkpoint.config, checkpoint.weights
    return CheckpointFacts(
        family=str(config.get("model_type")),
        layers=_of_text(config, "num_hidden_layers") or count_layers(weights.names),
        context=_context(config),
        dtypes=tuple(_DTYPES.get(dtype, dtype.lower()) for dtype, _ in weights.elements.most_common()),
        weights_bytes=weights.file_bytes,
        quantization=method_of(config),
        attention=(*installed_flash(), "sdpa", "eager"),
    )


def _context(config: Mapping[str, Any]) -> int | None:
    text = config.get("text_config")
    values = text if isinstance(text, dict) else config
    rope = values.get("rope_parameters") or values.get("rope_scaling")
    limit = _of_text(config, "max_position_embeddings")
    return stretched(limit, rope if isinstance(rope, dict) else {})


def _of_text(config: Mapping[str, Any], key: str) -> int | None:
    """A number of the language model: older configs have it at their top."""
    text = config.get("text_config")
    value = (text.get(key) if isinstance(text, dict) else None) or config.get(key)
    return value if isinstance(value, int) else None


def count_layers(names: Iterable[str]) -> int:
    """How many decoder layers have tensors of these names."""
    return len({match.group(1) for match in map(_LAYER.search, names) if match})
