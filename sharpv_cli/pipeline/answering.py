"""One question to a loaded model: preprocess, vision, prune, prefill, generate, and every figure of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from sharpv_cli import metrics
from sharpv_cli.engine.device import peak_bytes, reset_peak, synchronize
from sharpv_cli.engine.engine import Prefill
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.models.streaming import TextStream
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.fitting import memory_told, require_question
from sharpv_cli.pipeline.reading import Reading, Steps, read_once
from sharpv_cli.session import Session
from sharpv_cli.types import (
    Answer,
    Event,
    Finished,
    FinishReason,
    FrameRetention,
    FrameSample,
    LayerReport,
    MemoryStats,
    StageStarted,
    TextPiece,
    Timings,
    VideoInfo,
)
from sharpv_cli.video.frames import Frames

if TYPE_CHECKING:
    from sharpv_cli.settings import Settings


def answer(
    session: Session,
    info: VideoInfo,
    sample: FrameSample,
    question: str,
    settings: Settings,
    *,
    load_sec: float = 0.0,
    decode_sec: float = 0.0,
    decode_wait_sec: float = 0.0,
    started: float | None = None,
    new_tokens: int | None = None,
) -> Iterator[Event]:
    """Events from "preprocess" on, as `Sharpv.events` yields them.

    `load_sec`, `decode_sec` and `decode_wait_sec` are reported as given; `started` is the `metrics.now()` at which
    the total began, now when None. With `new_tokens` the answer has exactly so many, whatever the settings: end
    tokens do not end it. `settings.model`, `.device`, `.engine` and `.sampling` are not read.
    Raises UsageError, ResourceError.
    """
    clip = Clip(session, Frames(info, sample), settings, new_tokens)
    return answer_by(
        partial(read_once, clip),
        clip,
        question,
        load_sec=load_sec,
        decode_sec=decode_sec,
        decode_wait_sec=decode_wait_sec,
        started=started,
    )


def answer_by(
    read: Callable[[str, metrics.StageClock], Steps],
    clip: Clip,
    question: str,
    *,
    load_sec: float = 0.0,
    decode_sec: float = 0.0,
    decode_wait_sec: float = 0.0,
    started: float | None = None,
) -> Iterator[Event]:
    """`answer`, with the question read by `read`: by itself, or behind what it shares with others."""
    started = metrics.now() if started is None else started
    run = _Run(read, clip, question, load_sec, decode_sec, decode_wait_sec, started)
    with memory_told(clip):
        yield from run.events()


def whole_answer(events: Iterator[Event]) -> Answer:
    """The answer that the events end with. An interrupted one is none: it raises KeyboardInterrupt."""
    answer = next(event.answer for event in events if isinstance(event, Finished))
    if answer.finish_reason == "interrupted":
        raise KeyboardInterrupt
    return answer


@dataclass
class _Run:
    """The state of one answer while it comes to be."""

    read: Callable[[str, metrics.StageClock], Steps]
    clip: Clip
    question: str
    load_sec: float
    decode_sec: float
    decode_wait_sec: float
    started: float
    clock: metrics.StageClock = field(init=False)
    stream: TextStream = field(init=False)
    seed: int | None = field(init=False)
    token_times: list[float] = field(default_factory=list)
    finish_reason: FinishReason = "length"

    def __post_init__(self) -> None:
        self.clock = metrics.StageClock(lambda: synchronize(self.loaded.device))
        self.stream = TextStream(self.loaded.tokenizer, self.clip.stop)
        self.seed = _seed_of(self.clip.settings)

    @property
    def loaded(self) -> LoadedModel:
        return self.clip.loaded

    def events(self) -> Iterator[Event]:
        reset_peak(self.loaded.device)
        began = metrics.now()
        with self.clock.stage("preprocess"):
            require_question(self.clip, self.question)
        reading = yield from self.read(self.question, self.clock)
        layers = _layer_reports(reading.prefill)
        yield from self._generate(reading.prefill)
        ttft = (self.token_times[0] if self.token_times else metrics.now()) - began
        total = metrics.now() - self.started
        yield Finished(self._answer(reading, layers, self._timings(ttft, total)))

    def _generate(self, read: Prefill) -> Iterator[Event]:
        generation = self.clip.settings.generation
        tokens = self.clip.engine.decode(
            read,
            max_new_tokens=self.clip.limit,
            stop_ids=self.clip.stop_ids,
            temperature=generation.temperature,
            seed=self.seed,
        )
        try:
            yield StageStarted("generate")
            for token_id in tokens:
                self.token_times.append(metrics.now())
                if piece := self.stream.push(token_id):
                    yield TextPiece(piece)
                if self.stream.stopped:
                    break
            if self.stream.stopped or len(self.token_times) < self.clip.limit:
                self.finish_reason = "stop"
        except KeyboardInterrupt:
            self.finish_reason = "interrupted"
        finally:
            tokens.close()
        if tail := self.stream.finish():
            yield TextPiece(tail)

    def _answer(self, reading: Reading, layers: tuple[LayerReport, ...], timing: Timings) -> Answer:
        clip, keep = reading.clip, reading.selection.keep.cpu().numpy()
        return Answer(
            question=self.question,
            text=self.stream.text,
            finish_reason=self.finish_reason,
            video=clip.info,
            sample=clip.sample,
            model=self.loaded.info,
            text_tokens=reading.whole.text_tokens,
            generated_tokens=len(self.token_times),
            retention=_retention(clip, keep.sum(axis=1).tolist(), keep.shape[1]),
            keep=keep,
            grid=reading.whole.grid,
            layers=layers,
            memory=self._memory(reading, layers),
            timing=timing,
            seed=self.seed,
            engine=self.clip.engine.name,
            engine_reason=self.clip.engine.reason,
            warnings=self.loaded.warnings + clip.sample.warnings + reading.selection.warnings,
        )

    def _memory(self, reading: Reading, layers: tuple[LayerReport, ...]) -> MemoryStats:
        whole, read = reading.whole, reading.prefill
        _, kv_heads, _, head_dim = read.cache.layers[0].keys.shape
        # Every layer holds all of the text, and what is beyond is visual.
        text = len(read.prompt) - len(read.prompt.visual)
        stored = sum(layer.kv_entries for layer in layers) - text * len(layers)
        return MemoryStats(
            kv_dense_bytes=metrics.kv_bytes(
                len(whole),
                layers=len(layers),
                kv_heads=kv_heads,
                head_dim=head_dim,
                itemsize=read.cache.layers[0].keys.element_size(),
            ),
            kv_bytes=sum(layer.kv_bytes for layer in layers),
            kv_retention=metrics.kv_retention(stored, whole.slots.numel(), len(layers)),
            weights_bytes=self.loaded.weights_bytes,
            peak_bytes=peak_bytes(self.loaded.device),
            shared_prefix_bytes=reading.shared_bytes,
        )

    def _timings(self, ttft_sec: float, total_sec: float) -> Timings:
        times, seconds = self.token_times, self.clock.seconds
        return Timings(
            load_sec=self.load_sec,
            decode_sec=self.decode_sec + seconds["decode"],
            decode_wait_sec=self.decode_wait_sec + seconds["decode_wait"],
            preprocess_sec=seconds["preprocess"],
            vision_sec=seconds["vision"],
            prune_sec=seconds["prune"],
            prefill_sec=seconds["prefill"],
            ttft_sec=ttft_sec,
            tpot_sec=metrics.time_per_output_token(times[0], times[-1], len(times)) if times else None,
            total_sec=total_sec,
        )


def _retention(clip: Clip, kept: list[int], total: int) -> tuple[FrameRetention, ...]:
    stamps = clip.sample.timestamps_sec[:: clip.loaded.family.frames_per_slot]
    return tuple(
        FrameRetention(frame, stamp, count, total)
        for frame, (stamp, count) in enumerate(zip(stamps, kept, strict=True))
    )


def _layer_reports(read: Prefill) -> tuple[LayerReport, ...]:
    """What each layer stores now, right after the prefill."""
    stored = zip(read.similarities, read.cache.lengths, read.cache.layer_bytes, strict=True)
    return tuple(
        LayerReport(index, similarity, index not in read.discarded, entries, size)
        for index, (similarity, entries, size) in enumerate(stored)
    )


def _seed_of(settings: Settings) -> int | None:
    """The seed that sampling uses: the user's, or a fresh one to report. Greedy decoding has none."""
    if settings.generation.temperature == 0:
        return None
    seed = settings.generation.seed
    return secrets.randbelow(2**32) if seed is None else seed
