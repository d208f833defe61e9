"""What an answer costs by formula, from the shapes of its model and the lengths of its KV cache."""

from __future__ import annotations

from sharpv_cli.models.dimensions import language_model, vision_tower
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.types import Answer, Cost


def cost_of(loaded: LoadedModel, answer: Answer) -> Cost:
    """The work behind `answer` of a loaded checkpoint: encoding, its prefill, and the first decode step after it."""
    config = loaded.model.config
    tower = vision_tower(config, loaded.processor.video_processor, answer.grid[0] * answer.grid[1])
    shape = language_model(config, loaded.model.dtype.itemsize)
    lengths = [layer.kv_entries for layer in answer.layers]
    return Cost(
        vision_flops=tower.flops(len(answer.retention), answer.grid),
        prefill_flops=shape.prefill_flops(answer.text_tokens + answer.visual_kept),
        decode_flops_per_token=shape.decode_flops(lengths),
        decode_weight_bytes=shape.weight_bytes,
        decode_kv_bytes=shape.decode_kv_bytes(lengths),
    )
