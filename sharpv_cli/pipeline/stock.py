"""Stock transformers on the same frames: the checkpoint's processor and `generate`, nothing of ours in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from sharpv_cli import metrics
from sharpv_cli.engine.device import peak_bytes, reset_peak, synchronize
from sharpv_cli.models.generation import options
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.models.prompting import build_inputs
from sharpv_cli.models.streaming import TextStream
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.fitting import memory_told, require_dense
from sharpv_cli.types import EngineAnswer, EngineRun

_CACHE_NAMES = ("cache", "past_key_values")  # since transformers 5.24, and before


@dataclass
class _Stopwatch:
    """Takes an answer's token ids as they come, and the times of a run that begins with it."""

    loaded: LoadedModel
    clock: metrics.StageClock = field(init=False)
    text: TextStream = field(init=False)
    tokens: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.clock = metrics.StageClock(lambda: synchronize(self.loaded.device))
        self.text = TextStream(self.loaded.tokenizer)
        reset_peak(self.loaded.device)
        self.began = metrics.now()

    def token(self, token_id: int) -> None:
        """Take the next token; its text is put together within the time of the answer, as for a reader of it."""
        self.times.append(metrics.now())
        self.tokens.append(token_id)
        self.text.push(token_id)

    def finish(self, kv_bytes: int) -> tuple[EngineAnswer, EngineRun]:
        """What came of the run, which ends here."""
        ended, times = metrics.now(), self.times or [metrics.now()]
        self.text.finish()
        run = EngineRun(
            preprocess_sec=self.clock.seconds["preprocess"],
            vision_sec=None,
            prune_sec=None,
            prefill_sec=None,
            ttft_sec=times[0] - self.began,
            tpot_sec=metrics.time_per_output_token(times[0], times[-1], len(times)),
            total_sec=ended - self.began,
        )
        peak = peak_bytes(self.loaded.device)
        return EngineAnswer(self.text.text, tuple(self.tokens), kv_bytes, peak), run


@dataclass
class _Streamer:
    """What `generate` hands tokens to: the prompt first, then each new token as it is known on the host."""

    watch: _Stopwatch
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
    require_dense(clip)  # not within its time: it is no work of stock's
    watch = _Stopwatch(clip.loaded)
    with memory_told(clip):
        with watch.clock.stage("preprocess"):
            inputs = build_inputs(clip.loaded, clip.info, clip.sample, question, clip.prompt)
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
        return watch.finish(_kv_bytes(output, inputs["input_ids"].shape[1]))


def _kv_bytes(output: Any, prompt: int) -> int:
    """Bytes of keys and values of the `prompt` tokens, without those of the answer."""
    cache = next(output[name] for name in _CACHE_NAMES if name in output)
    stored = (tensor for layer in cache.layers for tensor in (layer.keys, layer.values))
    return sum(tensor[..., :prompt, :].nbytes for tensor in stored)
