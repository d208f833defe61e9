"""The table of families: what is particular to each VideoLLM. docs/adding-a-model.md says how one is added.

Importing this package imports no torch, so that `sharpv models list` is quick.
"""

from __future__ import annotations

from collections.abc import Mapping

from sharpv_cli.errors import ModelError
from sharpv_cli.models.families import internvl, llava, perception_lm, qwen_vl, smolvlm, video_llama_3
from sharpv_cli.models.families.family import Family, FrameLayout

FAMILIES: Mapping[str, Family] = {
    family.model_type: family
    for family in (
        llava.LLAVA_ONEVISION,
        llava.LLAVA_NEXT_VIDEO,
        llava.VIDEO_LLAVA,
        qwen_vl.QWEN2_VL,
        qwen_vl.QWEN2_5_VL,
        qwen_vl.QWEN3_VL,
        internvl.INTERNVL,
        smolvlm.SMOLVLM,
        video_llama_3.VIDEO_LLAMA_3,
        perception_lm.PERCEPTION_LM,
    )
}


def family_of(model_type: object, model_id: str) -> Family:
    """The family of a checkpoint's `model_type`; ModelError names the supported ones otherwise."""
    if isinstance(model_type, str) and model_type in FAMILIES:
        return FAMILIES[model_type]
    raise ModelError(
        f"{model_id}: model type {model_type!r} is not supported",
        hint=f"supported: {', '.join(FAMILIES)}",
    )
