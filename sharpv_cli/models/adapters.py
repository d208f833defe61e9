"""Adapters (LoRA and its kin): a folder of changes to a model that lies elsewhere, which sharpv does not apply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from sharpv_cli.errors import ModelError

ADAPTER = "adapter_config.json"


def refuse_adapter(config: Mapping[str, Any], name: str, *, whole: bool) -> NoReturn:
    """Raise ModelError that names the adapter and its base model; `whole`: it lies beside a model."""
    kind = f"{config.get('peft_type') or 'LoRA'} adapter"
    base = config.get("base_model_name_or_path")
    if whole:
        raise ModelError(
            f"{name}: a {kind} lies beside the model ({ADAPTER}), and sharpv does not apply it",
            hint=f"merge it into the model (peft: merge_and_unload), or take {ADAPTER} away to ask the model alone",
        )
    raise ModelError(
        f"{name}: a {kind}, not a whole model; its base model is {base or 'not named'}",
        hint="merge it into its base model (peft: merge_and_unload, save_pretrained) and give that folder"
        + (f"; --model {base} asks the base model alone" if base else ""),
    )
