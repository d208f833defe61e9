"""The numbers of a model's config that its cost depends on, by one name whatever the family calls them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpv_cli.metrics import LanguageModel

# Their projector works on the tower's own tokens, and only then are neighbours pooled.
_PROJECTS_FIRST = {"llava_onevision", "video_llava", "perception_lm"}
# Their front end asks the tower for hidden states of named layers.
_PICKS_LAYERS = {"llava_onevision", "llava_next_video", "video_llava"}
_WITH_CLS = {"clip_vision_model", "internvl_vision", "timm_wrapper"}
_GATED = {"qwen2_5_vl_vision", "qwen2_5_vl"}
# They turn queries and keys to rotate them into float32.
_ROTATES = {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "video_llama_3"}
# Its front end takes out the frames that are not padding, and so copies all.
_COPIES_PIXELS = {"smolvlm"}


@dataclass(frozen=True, slots=True)
class VisionTower:
    """The shape of a vision tower. `patches` of a frame (of a temporal patch where frames are merged), with CLS.

    `pixels` are numbers that go in a patch; `held_states` hidden states kept until the end besides the last;
    `projects_first`: the projector sees every patch, not the pooled ones. `rotates`: queries and keys are rotated
    in float32. `copies_pixels`: the input is copied.
    """

    hidden: int
    intermediate: int
    heads: int
    gated: bool
    patches: int
    pixels: int
    held_states: int
    projects_first: bool
    rotates: bool
    copies_pixels: bool


def language_model(config: Any, itemsize: int) -> LanguageModel:
    """The shape of a checkpoint's language model, from its config; every supported one has a gated MLP."""
    text = config.get_text_config()
    heads = text.num_attention_heads
    return LanguageModel(
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        heads=heads,
        kv_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_dim=getattr(text, "head_dim", None) or text.hidden_size // heads,
        vocabulary=text.vocab_size,
        itemsize=itemsize,
    )


def vision_tower(config: Any, video_processor: Any, tokens_per_slot: int) -> VisionTower:
    """The tower's shape for frames that become `tokens_per_slot` visual tokens each."""
    vision = config.vision_config
    values = vision.to_dict() | (getattr(vision, "model_args", None) or {})
    hidden = _first(values, "embed_dim", "hidden_size")
    patch = _side(values.get("patch_size") or getattr(video_processor, "patch_size", None) or 14)
    temporal = values.get("temporal_patch_size") or 1
    return VisionTower(
        hidden=hidden,
        intermediate=values.get("intermediate_size") or int(hidden * values.get("mlp_ratio", 4)),
        heads=_first(values, "num_attention_heads", "num_heads", default=16),
        gated=vision.model_type in _GATED,
        patches=_patches(values, patch, video_processor, tokens_per_slot) + (vision.model_type in _WITH_CLS),
        pixels=3 * temporal * patch**2,
        held_states=_held_states(config, _first(values, "num_hidden_layers", "depth")),
        projects_first=config.model_type in _PROJECTS_FIRST,
        rotates=config.model_type in _ROTATES,
        copies_pixels=config.model_type in _COPIES_PIXELS,
    )


def _patches(values: dict[str, Any], patch: int, video_processor: Any, tokens: int) -> int:
    """Of the tower's one picture size, or as many as merge into the visual tokens."""
    size = values.get("img_size") or values.get("image_size")
    if size:
        return int((_side(size) // patch) ** 2)
    merge: int = values.get("spatial_merge_size") or video_processor.merge_size
    return tokens * merge**2


def _held_states(config: Any, layers: int) -> int:
    """Until transformers learnt to keep only the layers that are asked for, it kept all."""
    if config.model_type not in _PICKS_LAYERS:
        return 0
    from transformers.utils import output_capturing

    return 1 if hasattr(output_capturing, "select_hidden_states") else layers + 1


def _first(values: dict[str, Any], *names: str, default: int | None = None) -> int:
    found = next((values[name] for name in names if values.get(name)), default)
    assert found is not None, names
    return int(found)


def _side(size: Any) -> int:
    return int(size[0] if isinstance(size, list | tuple) else size)
