"""The one place through which anything of a checkpoint is loaded: as it was inspected, and never with its code.

Nothing else in sharpv calls a `from_pretrained` or the like (`tests/test_models_sealed.py` looks).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sharpv_cli.models.blame import Reading
from sharpv_cli.models.inspecting import GENERATION, Checkpoint
from sharpv_cli.models.view import safe_config, viewed

_HERE_ONLY: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def read_config(values: Mapping[str, Any], name: str) -> Any:
    """transformers' config object of the content of a config.json. Raises ModelError."""
    from transformers import CONFIG_MAPPING

    rest = {key: value for key, value in safe_config(values).items() if key != "model_type"}
    with Reading("config.json", name, values):
        return CONFIG_MAPPING[values["model_type"]].from_dict(rest)


def read_video_processor(checkpoint: Checkpoint) -> Any:
    """The part of the processor that sizes frames. Raises ModelError."""
    from transformers import AutoVideoProcessor

    return _from_view(AutoVideoProcessor, "video processor", checkpoint)


def read_processor(checkpoint: Checkpoint) -> Any:
    """Tokenizer, video processor and chat template as one. Raises ModelError."""
    from transformers import AutoProcessor

    return _from_view(AutoProcessor, "processor", checkpoint)


def read_model(checkpoint: Checkpoint, config: Any, **options: Any) -> tuple[Any, Mapping[str, Any]]:
    """The model and transformers' report on its weights. Raises ModelError, ResourceError."""
    from transformers import AutoModelForImageTextToText, GenerationConfig

    if GENERATION in checkpoint.settings:  # on its own, so that its faults are not called the model's
        _from_view(GenerationConfig, GENERATION, checkpoint)
    options |= {"config": config, "use_safetensors": True, "output_loading_info": True}
    model, report = _from_view(AutoModelForImageTextToText, "model", checkpoint, **options)
    model.name_or_path = model.config.name_or_path = checkpoint.name
    return model, report


def blank_model(config: Any, **options: Any) -> Any:
    """A model without its weights, as `config` describes it; on the meta device it takes no memory."""
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_config(config, trust_remote_code=False, **options)


def _from_view(kind: Any, what: str, checkpoint: Checkpoint, **options: Any) -> Any:
    with viewed(checkpoint) as view, Reading(what, checkpoint.name, checkpoint.config, str(view)):
        return kind.from_pretrained(view, **options, **_HERE_ONLY)
