"""Stock transformers on the same frames: the checkpoint's processor and `generate`, nothing of ours in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sharpv_cli.models.available import available_bytes
from sharpv_cli.models.estimate import Request
from sharpv_cli.models.generation import options
from sharpv_cli.models.prompting import build_inputs
from sharpv_cli.models.room import require_prefill
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.engine_runs import Stopwatch
from sharpv_cli.pipeline.fitting import memory_told, require_encoding
from sharpv_cli.types import EngineAnswer, EngineRun

_CACHE_NAMES = ("cache", "past_key_values")  # since transformers 5.24, and before


@dataclass
class _Streamer:
    """What `generate` hands tokens to: the prompt first, then each new token as it is known on the host."""

    watch: Stopwatch
    stop_ids: frozenset[int]
    prompt_came: bool = False

    def put(self, ids: Tensor) -> None:
        if self.prompt_came and int(ids) not in self.stop_ids:
            self.watch.token(int(ids))
        self.prompt_came = True

    def end(self) -> None:
        """The answer is complete."""


def run_stock(clip: Clip, question: str) -> tuple[EngineAnswer, EngineRun]:
    """A question through stock `generate`, dense whatever the settings.

    What stock does not tell apart is None: all that comes after preprocessing is one call. Raises UsageError,
    ResourceError.
    """
    _require_room(clip)  # not within its time: it is no work of stock's
    watch = Stopwatch(clip.loaded)
    with memory_told(clip):
        with watch.clock.stage("preprocess"):
            inputs = build_inputs(clip.loaded, clip.info, clip.sample, question, clip.settings.prompt)
        streamer = _Streamer(watch, clip.stop_ids)
        chosen = options(
            clip.loaded.model,
            max_new_tokens=clip.limit,
            stop_ids=clip.stop_ids,
            temperature=clip.settings.generation.temperature,
        )
        output = clip.loaded.model.generate(
            **inputs, **chosen, return_dict_in_generate=True, streamer=streamer
        )
        return watch.finish(_kv_bytes(output, inputs["input_ids"].shape[1]), separate=False)


def _kv_bytes(output: Any, prompt: int) -> int:
    """Bytes of keys and values of the `prompt` tokens, without those of the answer."""
    cache = next(output[name] for name in _CACHE_NAMES if name in output)
    stored = (tensor for layer in cache.layers for tensor in (layer.keys, layer.values))
    return sum(tensor[..., :prompt, :].nbytes for tensor in stored)


def _require_room(clip: Clip) -> None:
    """Raise ResourceError where the dense prompt would not fit: stock itself does not ask."""
    require_encoding(clip)
    loaded = clip.loaded
    if loaded.split or not clip.settings.memory_check:
        return
    height, width = clip.sample.size
    request = Request(
        model=loaded.known,
        frames=len(clip.sample),
        height=height,
        width=width,
        new_tokens=clip.limit,
        itemsize=loaded.model.dtype.itemsize,
        eager=loaded.info.attention == "eager",
    )
    require_prefill(request, request.visual_tokens, str(loaded.device), available_bytes(loaded.device))
