"""Whether a config.json describes the model whose weights lie beside it, judged before anything is made of it.

What a config asks for is made, however large: layers one by one, and weights that are not there drawn at random.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sharpv_cli.errors import ModelError
from sharpv_cli.models.blame import Reading, Using
from sharpv_cli.models.context import usable_context
from sharpv_cli.models.dimensions import language_model, picture_side, vision_tower
from sharpv_cli.models.facts import count_layers
from sharpv_cli.models.families import Family
from sharpv_cli.models.inspecting import Checkpoint
from sharpv_cli.models.jsonfile import AGAIN, CONFIG
from sharpv_cli.models.parts import blank_model
from sharpv_cli.units import parameter_count

# Settings of which so many modules, or entries of lists, are made.
_COUNTS = re.compile(r"layers?$|depth|blocks|experts|_labels$")
_LEAST_ALLOWED = 1024
# Settings of processor and generation by which a prompt, or lists beside it, would grow.
_LENGTHS = re.compile(r"num_\w*tokens$|seq_len(gth)?$|ngram_size$")
_LONGEST = 1 << 16
_MOST = 1 << 40  # no size of a model is larger, nor the product of two that torch can tell
# A config may leave a few buffers to be made beside the weights; heads that are tied are made but once.
_MORE, _ANYWAY = 1.1, 1_000_000
_LEAST_BITS = 1  # of a number that is packed with others
_FRAME = (360, 640)  # height and width of an ordinary one
_LARGER = 8  # as some processors make a picture before they cut it into tiles
_APART = f"they do not belong together, or a part of the config is missing: {AGAIN}"


def require_counts(found: Checkpoint) -> None:
    """Raise ModelError for a number in a config that would be counted to without end."""
    most = max(_LEAST_ALLOWED, len(found.weights.names))
    for key, value in _numbers(found.config):
        if abs(value) > (most if _COUNTS.search(key) else _MOST):
            raise _absurd(found, CONFIG, key, value)
    for file, content in found.settings.items():
        for key, value in _numbers(content):
            if _LENGTHS.search(key) and value > _LONGEST:
                raise _absurd(found, file, key, value)


def _absurd(found: Checkpoint, file: str, key: str, value: float) -> ModelError:
    return ModelError(f"{found.name}: its {file} asks for {key} = {str(value)[:24]}", hint=AGAIN)


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
        _try(model.get_decoder())
    return sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))


def _try(decoder: Any) -> None:
    """Run a language model on shapes: heads, widths and rotations that do not fit each other show here."""
    import torch

    embeds = torch.zeros(1, 2, decoder.config.hidden_size, dtype=decoder.dtype)
    mask = torch.zeros(1, 1, 2, 2, dtype=decoder.dtype)  # a finished one: to make one, values are looked at
    try:
        with torch.no_grad():
            decoder.eval()(inputs_embeds=embeds, attention_mask=mask, use_cache=False)
    except RuntimeError as error:
        if "meta tensors" not in str(error):  # what looks at values in spite of that cannot be tried
            raise


def require_sizes(found: Checkpoint, family: Family, config: Any, video_processor: Any) -> None:
    """Raise ModelError where config and processor do not tell how large the model and its work are."""
    with Using("config.json or processor", found.name, found.config):
        usable_context(config.get_text_config())
        language = language_model(config, itemsize=2)
        slots, rows, columns = family.grid(config, video_processor, 2, *_FRAME)
        tower = vision_tower(config, video_processor, rows * columns)
        sizes = (language.layers, language.heads, language.head_dim, slots, rows, columns)
        if min(*sizes, tower.layers, tower.heads, tower.patches) < 1:
            raise ValueError("it says sizes below one")
        _require_frame(config, video_processor)


def _require_frame(config: Any, video_processor: Any) -> None:
    """A tower with one picture size is given frames of about that size, or they would fill the memory."""
    side = picture_side(config)
    asked = {name: getattr(video_processor, name, None) for name in ("size", "crop_size", "max_image_size")}
    largest = max((value for _, value in _numbers(_plain(asked))), default=0)
    if side and largest > _LARGER * side:
        raise ValueError(f"the model looks at {side} pixels a side, and its processor makes {largest}")


def _plain(sizes: Mapping[str, Any]) -> Mapping[str, Any]:
    """transformers has a class for sizes."""
    return {name: vars(size) if hasattr(size, "__dict__") else size for name, size in sizes.items()}


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
