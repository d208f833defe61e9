"""A question's way: build, prefill, decode, text; and every figure of the answer. The frames' is in `frames`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

from sharpv_cli import metrics
from sharpv_cli.engine.device import peak_bytes, reset_peak, synchronize
from sharpv_cli.engine.engine import Prefill
from sharpv_cli.models.capture import VisualPrompt
from sharpv_cli.pipeline.clip import Clip, Kept
from sharpv_cli.pipeline.fitting import memory_told, require_question, require_reading
from sharpv_cli.pipeline.frames import keep
from sharpv_cli.pipeline.prompts import Prompts
from sharpv_cli.pipeline.room import given_room
from sharpv_cli.pipeline.words import Words, words_of
from sharpv_cli.types import (
    ANY_TEXT,
    Answer,
    Event,
    Finished,
    Form,
    FrameRetention,
    LayerReport,
    MemoryStats,
    Reading,
    StageStarted,
    Timings,
    TokenScores,
)


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds before a question that count in its Timings; `started` is when its total began, now when None.

    `recall_sec` went into reading what was kept of the frames: they count as preprocessing.
    """

    load_sec: float = 0.0
    decode_sec: float = 0.0
    decode_wait_sec: float = 0.0
    started: float | None = None
    recall_sec: float = 0.0


def answer(
    prompts: Prompts, question: str, *, last: bool = False, spent: Spent = Spent(), form: Form = ANY_TEXT
) -> Iterator[Event]:
    """Events from "preprocess" on, as `Sharpv.events` yields them; the answer has the `form` that is asked for.

    Of the clip's settings, `model`, `device`, `engine` and `sampling` are not read. Raises UsageError, ResourceError.
    """
    with memory_told(prompts.clip):
        yield from _Answering(prompts, question, last, spent, form).events()


def whole_answer(events: Iterator[Event]) -> Answer:
    """The answer that the events end with. An interrupted one is none: it raises KeyboardInterrupt."""
    answer = next(event.answer for event in events if isinstance(event, Finished))
    if answer.finish_reason == "interrupted":
        raise KeyboardInterrupt
    return answer


@dataclass
class _Answering:
    """The state of one answer while it comes to be."""

    prompts: Prompts
    question: str
    last: bool
    spent: Spent
    form: Form
    clock: metrics.StageClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = metrics.StageClock(lambda: synchronize(self.clip.loaded.device))

    @property
    def clip(self) -> Clip:
        return self.prompts.clip

    def events(self) -> Iterator[Event]:
        reset_peak(self.clip.loaded.device)
        began = metrics.now()
        # 1. Build: the frames encoded behind the words of the question, and of their tokens what is kept.
        with self.clock.stage("preprocess"):
            require_question(self.clip, self.question)
        encoded = yield from self.prompts.build(self.question, self.clock, last=self.last)
        words = words_of(keep(encoded, self.clock), self.form)
        # 2. Prefill, on the way of which Memory SharpV discards.
        prefill = yield from given_room(self.clip.engine, lambda: self._read(words.kept))
        reading = self._reading(words.kept, prefill)
        # It may be long until the answer ends, and the whole prompt takes more than all that is left of it.
        del encoded
        words.kept = words.kept.told
        # 3. Decode, token by token; 4. text, as far as it is certain.
        yield from words.events(prefill, reading)
        yield Finished(self._answer(words, reading, self._timings(words, began, metrics.now())))

    def _read(self, kept: Kept) -> Generator[Event, None, Prefill]:
        yield StageStarted("prefill")
        with self.clock.stage("prefill"):
            require_reading(kept)
            return self.prompts.prefill(kept, last=self.last)

    def _reading(self, kept: Kept, prefill: Prefill) -> Reading:
        clip, held = kept.encoded.clip, kept.selection.keep
        layers = _layer_reports(prefill)
        return Reading(
            question=self.question,
            model=clip.loaded.info,
            engine=clip.engine.name,
            engine_reason=clip.engine.reason,
            retention=_retention(clip, held.sum(dim=1).tolist(), held.shape[1]),
            layers=layers,
            memory=self._memory(kept.encoded.whole, prefill, layers),
            m=clip.threshold,
            warnings=clip.warnings + kept.selection.warnings,
        )

    def _answer(self, words: Words, reading: Reading, timing: Timings) -> Answer:
        clip, whole = words.clip, words.kept.encoded.whole
        return Answer(
            question=self.question,
            text=words.text,
            finish_reason=words.finish_reason,
            video=clip.info,
            sample=clip.sample,
            model=reading.model,
            text_tokens=whole.text_tokens,
            generated_tokens=len(words.token_ids),
            retention=reading.retention,
            keep=words.kept.selection.keep.cpu().numpy(),
            grid=whole.grid,
            layers=reading.layers,
            memory=replace(reading.memory, peak_bytes=peak_bytes(clip.loaded.device)),
            timing=timing,
            seed=words.seed,
            engine=reading.engine,
            engine_reason=reading.engine_reason,
            m=reading.m,
            warm=clip.session.warm,
            seen=clip.seen,
            subtitles=None if clip.spoken is None else clip.spoken.used,
            warnings=reading.warnings,
            token_ids=tuple(words.token_ids),
            form=self.form,
            choices=words.choices,
            logprobs=words.logprobs,
            scores=_scores(words.kept) if self.form.scores else None,
        )

    def _memory(self, whole: VisualPrompt, read: Prefill, layers: tuple[LayerReport, ...]) -> MemoryStats:
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
            weights_bytes=self.clip.loaded.weights_bytes,
            peak_bytes=peak_bytes(self.clip.loaded.device),
            shared_prefix_bytes=self.prompts.shared_bytes,
        )

    def _timings(self, words: Words, began: float, ended: float) -> Timings:
        times, seconds = words.token_times, self.clock.seconds
        return Timings(
            load_sec=self.spent.load_sec,
            decode_sec=self.spent.decode_sec + seconds["decode"],
            decode_wait_sec=self.spent.decode_wait_sec + seconds["decode_wait"],
            preprocess_sec=self.spent.recall_sec + seconds["preprocess"],
            vision_sec=seconds["vision"],
            prune_sec=seconds["prune"],
            prefill_sec=seconds["prefill"],
            ttft_sec=(times[0] if times else ended) - began - words.told_sec + self.spent.recall_sec,
            tpot_sec=metrics.time_per_output_token(times[0], times[-1], len(times)) if times else None,
            total_sec=ended - (began if self.spent.started is None else self.spent.started),
        )


def _retention(clip: Clip, kept: list[int], total: int) -> tuple[FrameRetention, ...]:
    stamps = clip.sample.timestamps_sec[:: clip.loaded.family.frames_per_slot]
    return tuple(
        FrameRetention(frame, stamp, count, total)
        for frame, (stamp, count) in enumerate(zip(stamps, kept, strict=True))
    )


def _scores(kept: Kept) -> TokenScores | None:
    visual, scores = kept.encoded.clip.settings.visual, kept.scores
    if visual.mode == "off" or scores is None:
        return None
    return TokenScores(
        spatial=scores.spatial.cpu().numpy(),
        temporal=scores.temporal.cpu().numpy(),
        importance=scores.importance.cpu().numpy(),
        ratio=scores.ratio.cpu().numpy(),
        mode=visual.mode,
        w=visual.w,
        scale=kept.selection.scale,
        k=visual.k,
        min_tokens=visual.min_tokens,
    )


def _layer_reports(read: Prefill) -> tuple[LayerReport, ...]:
    """What each layer stores now, right after the prefill."""
    stored = zip(read.similarities, read.cache.lengths, read.cache.layer_bytes, strict=True)
    return tuple(
        LayerReport(index, similarity, index not in read.discarded, entries, size)
        for index, (similarity, entries, size) in enumerate(stored)
    )
