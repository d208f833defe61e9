"""One question through one engine, for what engines are compared by: token ids, times, and memory."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeVar

from sharpv_cli import metrics
from sharpv_cli.engine.device import peak_bytes, reset_peak, synchronize
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.models.streaming import TextStream
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.fitting import memory_told
from sharpv_cli.pipeline.reading import read_once
from sharpv_cli.types import EngineAnswer, EngineRun

T = TypeVar("T")


@dataclass
class Stopwatch:
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

    def finish(self, kv_bytes: int, *, separate: bool) -> tuple[EngineAnswer, EngineRun]:
        """What came of the run, which ends here; `separate` where the clock knows vision and prefill."""
        ended, times = metrics.now(), self.times or [metrics.now()]
        self.text.finish()
        seconds = self.clock.seconds
        vision, prune, prefill = (
            seconds[stage] if separate else None for stage in ("vision", "prune", "prefill")
        )
        run = EngineRun(
            preprocess_sec=seconds["preprocess"],
            vision_sec=vision,
            prune_sec=prune,
            prefill_sec=prefill,
            ttft_sec=times[0] - self.began,
            tpot_sec=metrics.time_per_output_token(times[0], times[-1], len(times)),
            total_sec=ended - self.began,
        )
        peak = peak_bytes(self.loaded.device)
        return EngineAnswer(self.text.text, tuple(self.tokens), kv_bytes, peak), run


def run_engine(clip: Clip, question: str) -> tuple[EngineAnswer, EngineRun]:
    """A question through the engine of the clip's settings. Raises UsageError, ModelError, ResourceError."""
    watch = Stopwatch(clip.loaded)
    generation = clip.settings.generation
    with memory_told(clip):
        read = _result(read_once(clip, question, watch.clock)).prefill
        kv_bytes = read.cache.nbytes
        for token_id in clip.engine.decode(
            read,
            max_new_tokens=clip.limit,
            stop_ids=clip.stop_ids,
            temperature=generation.temperature,
            seed=generation.seed,
        ):
            watch.token(token_id)
        return watch.finish(kv_bytes, separate=True)


def _result(steps: Generator[object, None, T]) -> T:
    """What a generator returns, whatever it yields before."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
