"""One question answered, with all its figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.types.form import ANY_TEXT, Form
from sharpv_cli.types.subtitles import UsedSubtitles
from sharpv_cli.types.video import FrameSample, VideoInfo

FinishReason = Literal["stop", "length", "interrupted"]


@dataclass(frozen=True, slots=True)
class FrameRetention:
    """How many of one frame's visual tokens were kept (a temporal patch where a family merges frames)."""

    frame: int
    timestamp_sec: float
    kept: int
    total: int

    def __post_init__(self) -> None:
        assert 0 <= self.kept <= self.total and self.total > 0, (self.kept, self.total)

    @property
    def ratio(self) -> float:
        return self.kept / self.total


@dataclass(frozen=True, slots=True)
class LayerReport:
    """One decoder layer after the prefill.

    `similarity` is s_l, the mean cosine between the visual hidden states and their embeddings, or None where it
    was not measured; `kv_entries` and `kv_bytes` are what the layer stores, text included.
    """

    layer: int
    similarity: float | None
    visual_kv_kept: bool
    kv_entries: int
    kv_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """Bytes. `kv_dense_bytes` is what no pruning would store after the same prefill.

    `kv_retention` counts visual KV entries over all layers, stored / dense. `peak_bytes` is device memory, or on
    CPU the process's peak resident size. `shared_prefix_bytes` is the KV cache held beside it for further
    questions about the same video, None for a single question.
    """

    kv_dense_bytes: int
    kv_bytes: int
    kv_retention: float
    weights_bytes: int
    peak_bytes: int
    shared_prefix_bytes: int | None = None

    def __post_init__(self) -> None:
        assert 0 <= self.kv_bytes <= self.kv_dense_bytes, (self.kv_bytes, self.kv_dense_bytes)
        assert 0.0 <= self.kv_retention <= 1.0, self.kv_retention


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of wall clock. `ttft_sec` runs from RGB frames in host memory to the first token on the host, without
    what a caller does when it is told of PromptRead.

    `tpot_sec` is the mean time of a generated token after the first, None when there is only one.
    Loading and decoding overlap, so the stages can sum to more than `total_sec`.

    `decode_sec` is how long the decoder worked; `decode_wait_sec` is the part of it that held the answer up:
    nothing else was left to do until frames came. Of a clip that is decoded whole that is what is left of decoding
    when the model is loaded; of a long one, which is decoded while it is encoded, also every wait between chunks
    (those count in `ttft_sec` as well). It is 0 where the frames were there before.
    """

    load_sec: float
    decode_sec: float
    preprocess_sec: float
    vision_sec: float
    prune_sec: float
    prefill_sec: float
    ttft_sec: float
    tpot_sec: float | None
    total_sec: float
    decode_wait_sec: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model answered, where and how. `attention_reason` says in words why that backend runs."""

    id: str
    revision: str | None
    family: str
    dtype: str
    device: str
    attention: str
    attention_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is known of an answer once its prompt is read, before its first token.

    `engine` runs the language model, fast or reference, and `engine_reason` says in words why that one. `m` is Memory
    SharpV's threshold, None where it is off.
    """

    question: str
    model: ModelInfo
    engine: str
    engine_reason: str
    retention: tuple[FrameRetention, ...]
    layers: tuple[LayerReport, ...]
    memory: MemoryStats
    m: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def visual_total(self) -> int:
        return sum(frame.total for frame in self.retention)

    @property
    def visual_kept(self) -> int:
        return sum(frame.kept for frame in self.retention)

    @property
    def visual_retention(self) -> float:
        return self.visual_kept / self.visual_total


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the texts that an answer was chosen from.

    `probability`, over the choices, is by whole texts; `probability_by_length` by the mean of their tokens. `logprob`
    is the logarithm of the probability that an answer begins with this text, whatever the others are.
    """

    text: str
    probability: float
    probability_by_length: float
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of an answer, and the logarithm of its probability under the model's own logits."""

    id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenScores:
    """By what Visual SharpV chose: float32 S, T and I [T, f] and r [T] (`pruning.visual.Scores`), and its settings.

    `scale` is the one that was used: it may have been lowered so that the kept tokens fit the model's context.
    """

    spatial: NDArray[np.float32]
    temporal: NDArray[np.float32]
    importance: NDArray[np.float32]
    ratio: NDArray[np.float32]
    mode: Literal["adaptive", "manual"]
    w: float
    scale: float
    k: float
    min_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Reading):
    """One question answered, with everything a report needs.

    `keep` is bool [T, f], True where a visual token was kept, in raster order of `grid` (rows, columns).
    `text_tokens` counts every prompt token that is no frame-grid token (newline and CLS tokens included).
    `token_ids` are those that were generated, or those of the choice that was taken; `warm`: the model was loaded
    already, by an earlier command; `seen`: the video was not looked at, for an earlier look was kept. `form` is what
    the answer was to look like; `choices` has one entry for each of its choices, in their order, and `logprobs` one for
    each token where they were asked for. `scores` are None where they were not, or nothing is pruned; `subtitles` where
    none were wanted.
    """

    text: str
    finish_reason: FinishReason
    video: VideoInfo
    sample: FrameSample
    text_tokens: int
    generated_tokens: int
    keep: NDArray[np.bool_]
    grid: tuple[int, int]
    timing: Timings
    seed: int | None
    warm: bool = False
    seen: bool = False
    subtitles: UsedSubtitles | None = None
    token_ids: tuple[int, ...] = ()
    form: Form = ANY_TEXT
    choices: tuple[Choice, ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = None
    scores: TokenScores | None = None

    def __post_init__(self) -> None:
        assert self.visual_kept == int(self.keep.sum()), (self.visual_kept, int(self.keep.sum()))
        assert self.keep.shape[1] == self.grid[0] * self.grid[1], (self.keep.shape, self.grid)
        assert self.memory.kv_bytes == sum(layer.kv_bytes for layer in self.layers)

    @property
    def is_complete(self) -> bool:
        """Whether it has the form that was asked for: not where it was cut off before its end."""
        return self.form.grammar is None or self.finish_reason == "stop"

    @property
    def value(self) -> object:
        """What an answer in JSON says, as Python has it; None where it is not complete, or no JSON was asked for."""
        if not (self.form.is_json and self.is_complete):
            return None
        return json.loads(self.text, parse_int=_number)


def _number(digits: str) -> int | float:
    """Python refuses integers of thousands of digits."""
    return int(digits) if len(digits) < 1000 else float(digits)
