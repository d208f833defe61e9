"""What an answer costs by formula, from the shape of its language model and the lengths of its KV cache."""

from __future__ import annotations

from typing import Any

from sharpv_cli.models.dimensions import language_model
from sharpv_cli.types import Answer, Cost


def cost_of(model: Any, answer: Answer) -> Cost:
    """The work behind `answer` of a loaded checkpoint: its prefill, and the first decode step after it."""
    shape = language_model(model.config, model.dtype.itemsize)
    lengths = [layer.kv_entries for layer in answer.layers]
    return Cost(
        prefill_flops=shape.prefill_flops(answer.text_tokens + answer.visual_kept),
        decode_flops_per_token=shape.decode_flops(lengths),
        decode_weight_bytes=shape.weight_bytes,
        decode_kv_bytes=shape.decode_kv_bytes(lengths),
    )
