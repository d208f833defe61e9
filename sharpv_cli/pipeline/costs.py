"""What an answer costs by formula, from the shape of its language model and the lengths of its KV cache."""

from __future__ import annotations

from typing import Any

from sharpv_cli.metrics import LanguageModel
from sharpv_cli.types import Answer, Cost


def cost_of(model: Any, answer: Answer) -> Cost:
    """The work behind `answer` of a loaded checkpoint: its prefill, and the first decode step after it."""
    shape = language_model(model)
    lengths = [layer.kv_entries for layer in answer.layers]
    return Cost(
        prefill_flops=shape.prefill_flops(answer.text_tokens + answer.visual_kept),
        decode_flops_per_token=shape.decode_flops(lengths),
        decode_weight_bytes=shape.weight_bytes,
        decode_kv_bytes=shape.decode_kv_bytes(lengths),
    )


def language_model(model: Any) -> LanguageModel:
    """The shape of a checkpoint's language model, from its config."""
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    return LanguageModel(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        heads=heads,
        kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        vocabulary=config.vocab_size,
        itemsize=model.dtype.itemsize,
        gated=hasattr(model.get_decoder().layers[0].mlp, "gate_proj"),
    )
