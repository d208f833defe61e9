"""The numbers of a model's config that its cost depends on, by one name whatever the family calls them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
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

    `layers` of them all; `cls`: one of the patches is no patch. `merge` patches a side become one visual token;
    `windowed_layers` attend within windows of `window` visual tokens a side.
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
    layers: int
    cls: bool
    merge: int = 1
    windowed_layers: int = 0
    window: int = 0

    def flops(self, slots: int, grid: tuple[int, int]) -> int:
        """FLOPs of encoding `slots` frames (temporal patches), two a multiply-add, of `grid` visual tokens each.

        The patch embedding and the layers; projectors and mergers behind them are left out.
        """
        embedding = 2 * (self.patches - self.cls) * self.pixels * self.hidden
        weights = self.hidden * (4 * self.hidden + (3 if self.gated else 2) * self.intermediate)
        full = (self.layers - self.windowed_layers) * self.patches**2
        pairs = full + self.windowed_layers * self._window_pairs(grid)
        return slots * (embedding + self.layers * 2 * self.patches * weights + 4 * self.hidden * pairs)

    def _window_pairs(self, grid: tuple[int, int]) -> int:
        """Pairs of patches in common windows; the last window of a row or column is what is left of it."""
        if not self.window:
            return 0
        rows, columns = (side // self.window * self.window**2 + (side % self.window) ** 2 for side in grid)
        return rows * columns * self.merge**4


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
        head_dim=head_dim(text),
        vocabulary=text.vocab_size,
        itemsize=itemsize,
    )


def head_dim(text_config: Any) -> int:
    """Numbers of an attention head of the language model."""
    size: int | None = getattr(text_config, "head_dim", None)
    return size or int(text_config.hidden_size // text_config.num_attention_heads)


def vision_tower(config: Any, video_processor: Any, tokens_per_slot: int) -> VisionTower:
    """The tower's shape for frames that become `tokens_per_slot` visual tokens each."""
    vision = config.vision_config
    values = vision.to_dict() | (getattr(vision, "model_args", None) or {})
    hidden = _first(values, "embed_dim", "hidden_size")
    layers = _first(values, "num_hidden_layers", "depth")
    patch = _side(values.get("patch_size") or getattr(video_processor, "patch_size", None) or 14)
    temporal = int(values.get("temporal_patch_size") or 1)
    return VisionTower(
        hidden=hidden,
        intermediate=int(values.get("intermediate_size") or hidden * values.get("mlp_ratio", 4)),
        heads=_first(values, "num_attention_heads", "num_heads", default=16),
        gated=vision.model_type in _GATED,
        patches=_patches(values, patch, video_processor, tokens_per_slot) + (vision.model_type in _WITH_CLS),
        pixels=3 * temporal * patch**2,
        held_states=_held_states(config, layers),
        projects_first=config.model_type in _PROJECTS_FIRST,
        rotates=config.model_type in _ROTATES,
        copies_pixels=config.model_type in _COPIES_PIXELS,
        layers=layers,
        cls=vision.model_type in _WITH_CLS,
        **_windows(values, patch, layers),
    )


def picture_side(config: Any) -> int | None:
    """Pixels a side of the pictures that the tower looks at, None where they may be of any size."""
    values = config.vision_config.to_dict() | (getattr(config.vision_config, "model_args", None) or {})
    size = values.get("img_size") or values.get("image_size")
    return _side(size) if size else None


def _windows(values: dict[str, Any], patch: int, layers: int) -> dict[str, int]:
    """What Qwen2.5-VL's config says of windows: pixels a side, and the layers without."""
    if "fullatt_block_indexes" not in values:
        return {}
    merge = int(values["spatial_merge_size"])
    return {
        "merge": merge,
        "windowed_layers": layers - len(set(values["fullatt_block_indexes"]) & set(range(layers))),
        "window": int(values["window_size"]) // merge // patch,
    }


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
    return 1 if _keeps_few_states() else layers + 1


@cache
def _keeps_few_states() -> bool:
    """Read in the installed transformers' source: importing it would import PyTorch."""
    source = metadata.distribution("transformers").locate_file("transformers/utils/output_capturing.py")
    try:
        return "def select_hidden_states(" in Path(str(source)).read_text(encoding="utf-8")
    except OSError:  # installed in another way, as developers do
        from transformers.utils import output_capturing

        return hasattr(output_capturing, "select_hidden_states")


def _first(values: dict[str, Any], *names: str, default: int | None = None) -> int:
    found = next((values[name] for name in names if values.get(name)), default)
    assert found is not None, names
    return int(found)


def _side(size: Any) -> int:
    return int(size[0] if isinstance(size, list | tuple) else size)
