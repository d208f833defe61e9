"""The shipped models' configs narrowed to a size that a test can write: all else is as published."""

from __future__ import annotations

from typing import Any

LAYERS = 4
_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
_TOWER = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
_QWEN_TOWER = {"depth": 3, "hidden_size": 48, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64}
NARROW: dict[str, dict[str, dict[str, Any]]] = {
    "llava-ov-7b": {"text_config": _TEXT, "vision_config": _TOWER},
    "llava-next-video-7b": {"text_config": _TEXT, "vision_config": _TOWER},
    "video-llava-7b": {"text_config": _TEXT, "vision_config": _TOWER},
    "internvl3-8b": {"text_config": _TEXT, "vision_config": _TOWER},
    "smolvlm2-2.2b": {"text_config": _TEXT | {"head_dim": 32}, "vision_config": _TOWER},
    "videollama3-7b": {"text_config": _TEXT, "vision_config": _TOWER},
    "qwen2.5-vl-7b": {
        "text_config": _TEXT
        | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]}},
        "vision_config": _QWEN_TOWER | {"fullatt_block_indexes": [1]},
    },
    "qwen3-vl-8b": {
        "text_config": _TEXT
        | {
            "head_dim": 32,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
        },
        "vision_config": _QWEN_TOWER | {"deepstack_visual_indexes": [0, 1]},
    },
    "perception-lm-3b": {
        "text_config": _TEXT | {"head_dim": 32},
        "vision_config": {
            "model_args": {
                "depth": 2,
                "embed_dim": 48,
                "num_heads": 2,
                "img_size": [448, 448],
                "global_pool": "",
                "use_post_transformer_norm": False,
                "init_values": 0.1,
                "ref_feat_shape": [32, 32],
            }
        },
    },
}
