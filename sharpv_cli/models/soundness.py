"""Whether a config.json describes the model whose weights lie beside it, judged before anything is made of it.

What a config asks for is made, however large: layers one by one, and weights that are not there drawn at random.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sharpv_cli.errors import ModelError
from sharpv_cli.models.blame import Reading
from sharpv_cli.models.facts import count_layers
from sharpv_cli.models.inspecting import Checkpoint
from sharpv_cli.models.jsonfile import AGAIN
from sharpv_cli.models.parts import blank_model
from sharpv_cli.units import parameter_count

# Settings of which so many modules, or entries of lists, are made.
_COUNTS = re.compile(r"layers?$|depth|blocks|experts|_labels$")
_LEAST_ALLOWED = 1024
_MOST = 1 << 40  # no size of a model is larger, nor the product of two that torch can tell
# A config may leave a few buffers to be made beside the weights; heads that are tied are made but once.
_MORE, _ANYWAY = 1.1, 1_000_000
_LEAST_BITS = 1  # of a number that is packed with others
_APART = f"they do not belong together, or a part of the config is missing: {AGAIN}"


def require_counts(found: Checkpoint) -> None:
    """Raise ModelError for a number in a config that would be counted to without end."""
    most = max(_LEAST_ALLOWED, len(found.weights.names))
    for key, value in _numbers(found.config):
        if abs(value) > (most if _COUNTS.search(key) else _MOST):
            raise ModelError(f"{found.name}: its config.json asks for {key} = {str(value)[:24]}", hint=AGAIN)


def require_described(config: Any, found: Checkpoint) -> None:
    """Raise ModelError where `config`, transformers' object, describes another model than the weights are of.

    What it describes beyond them would be made up, and of layers that it does not mention nobody would hear.
    """
    layers, stored = config.get_text_config().num_hidden_layers, count_layers(found.weights.names)
    if layers < stored:
        raise ModelError(
            f"{found.name}: its config.json says {layers} decoder layers, and its weights hold {stored}",
            hint=_APART,
        )
    made, held = _made(config, found), found.weights.numbers + found.weights.fixed_bytes * 8 // _LEAST_BITS
    if made > _MORE * held + _ANYWAY:
        raise ModelError(
            f"{found.name}: its config.json describes {parameter_count(made)} parameters, "
            f"and its weights hold {parameter_count(held)}",
            hint=_APART,
        )


def _made(config: Any, found: Checkpoint) -> int:
    """How many numbers loading would make, counted on a model that takes no memory."""
    import torch

    with Reading("config.json", found.name, found.config), torch.device("meta"):
        model = blank_model(config)
    return sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, int | float]]:
    """Every number of a config with its dotted name."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, value
