"""What is known of a model before its weights are: from its folder on this machine, or from facts that are shipped.

Shipped facts (assets/configs) are the parts of published config.json files that decide shapes; each says where
it comes from. transformers builds its config objects from them, so that defaults are its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from sharpv_cli.errors import ModelError, VideoError
from sharpv_cli.models.blame import OTHER_SHAPE, USUAL_SIZE, Using, first_sentence
from sharpv_cli.models.checkpoint import locate
from sharpv_cli.models.context import usable_context
from sharpv_cli.models.families import Family, family_of
from sharpv_cli.models.inspecting import Checkpoint, inspect
from sharpv_cli.models.on_disk import BUILTIN_FOLDER
from sharpv_cli.models.parts import read_config, read_video_processor
from sharpv_cli.models.plain import PlainConfig
from sharpv_cli.models.soundness import require_counts, require_sizes
from sharpv_cli.settings import BUILTIN_MODEL

if TYPE_CHECKING:
    from sharpv_cli.settings import ModelSettings

_MOST_TOKENS = 1 << 31  # frames, or rows or columns of visual tokens
_TRAINED_FRAMES = 120  # the built-in model; docs/model-card.md
FACTS_FOLDER = BUILTIN_FOLDER.parent / "configs"


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
        """(T, rows, columns) of the visual tokens of so many frames of that size in pixels.

        Raises VideoError where the model takes no frames of such a shape.
        """
        try:
            return self._grid(frames, height, width)
        except ModelError as error:
            self._grid(frames, *USUAL_SIZE)  # the processor is to blame if it takes no usual ones
            raise VideoError(
                f"{self.id} takes no frames of {width} x {height}: {first_sentence(error.__cause__ or error)}",
                hint=OTHER_SHAPE,
            ) from error

    def _grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """Raises ModelError for whatever its numbers make of such frames that is no grid."""
        with Using("video processor", self.id):
            grid = self.family.grid(self.config, self.video_processor, frames, height, width)
            if not all(isinstance(side, int) and 0 < side < _MOST_TOKENS for side in grid):
                raise ValueError(f"it makes {' x '.join(map(str, grid))} tokens of a video")
        return grid

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
        return of_checkpoint(inspect(folder, model), model.id)
    facts = _facts_of(model)
    return _of_facts(facts, read_config(facts["config"], model.id))


def foretold(model: ModelSettings) -> KnownModel:
    """The same without transformers, where `asks_transformers` is false. Raises what `known` raises."""
    if asks_transformers(model):
        return known(model)
    if (folder := locate(model)) is not None:
        found = inspect(folder, model)
        return _of_folder(found, model.id, PlainConfig(found.config), _video_processor(found))
    facts = _facts_of(model)
    return _of_facts(facts, PlainConfig(facts["config"]))


def asks_transformers(model: ModelSettings) -> bool:
    """Whether only transformers knows the model's sizes. The built-in one and shipped facts say all of them.

    Other files leave out what is transformers' default. Raises what `locate` raises.
    """
    return model.id != BUILTIN_MODEL and locate(model) is not None


def of_checkpoint(checkpoint: Checkpoint, model_id: str) -> KnownModel:
    """The same of a folder that was inspected. Raises ModelError."""
    require_counts(checkpoint)
    config = read_config(checkpoint.config, checkpoint.name)
    family = family_of(checkpoint.config["model_type"], model_id)
    video_processor = _video_processor(checkpoint)
    require_sizes(checkpoint, family, config, video_processor)
    return _of_folder(checkpoint, model_id, config, video_processor)


def _of_folder(found: Checkpoint, model_id: str, config: Any, video_processor: Any) -> KnownModel:
    return KnownModel(
        id=model_id,
        source="folder",
        family=family_of(found.config["model_type"], model_id),
        config=config,
        video_processor=video_processor,
        parameters=found.weights.numbers,
        fixed_bytes=found.weights.fixed_bytes,
    )


def _facts_of(model: ModelSettings) -> Mapping[str, Any]:
    if (facts := shipped().get(model.id)) is None:
        raise ModelError(
            f"{model.id}: not on this machine, and no facts about it are shipped",
            hint=f"`sharpv models pull {model.id}` fetches it; or give a folder",
        )
    return facts


def _of_facts(facts: Mapping[str, Any], config: Any) -> KnownModel:
    return KnownModel(
        id=facts["id"],
        source="shipped facts",
        family=family_of(facts["config"]["model_type"], facts["id"]),
        config=config,
        video_processor=SimpleNamespace(**facts["video_processor"]),
        parameters=facts["parameters"],
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
        weights = inspect(folder, model).weights
    except ModelError:
        return None
    return None if weights.fixed_bytes else weights.numbers


def published_bytes(model_id: str) -> int | None:
    """Bytes of a shipped model's weights in the number format in which they are published; None of other models."""
    if (facts := shipped().get(model_id)) is None:
        return None
    return int(facts["parameters"]) * (4 if facts["dtype"] == "float32" else 2)


def beyond_training(model_id: str, frames: int) -> tuple[str, ...]:
    """A sentence for the user where the built-in model gets more frames than it was trained with."""
    if model_id != BUILTIN_MODEL or frames <= _TRAINED_FRAMES:
        return ()
    return (
        f"the demo model was trained with at most {_TRAINED_FRAMES} frames and gets {frames}: its answers may be wrong",
    )


def _video_processor(checkpoint: Checkpoint) -> Any:
    """As saved by transformers 5, which writes every value; older files need the class with its defaults."""
    saved = checkpoint.settings.get("processor_config.json", {}).get("video_processor")
    if isinstance(saved, dict) and "size" in saved:
        return SimpleNamespace(**saved)
    return read_video_processor(checkpoint)
