"""The results that cross the borders between packages: frozen, self-checking, units in the names.

Nothing here imports torch, so that reports can be drawn without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sharpv_cli.errors import SharpvError

FinishReason = Literal["stop", "length", "interrupted"]


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video file holds, as a scan of its packets found it (headers lie).

    `width` and `height` are pixels as displayed, after rotation and sample aspect ratio;
    `rotation_deg` is the clockwise turn that was applied (0, 90, 180 or 270);
    `fps` is the average rate, frames_total / duration_sec; None where it cannot be known.
    """

    path: str
    container: str
    codec: str
    width: int
    height: int
    rotation_deg: int
    fps: float | None
    duration_sec: float | None
    frames_total: int

    def __post_init__(self) -> None:
        assert self.width > 0 and self.height > 0, (self.width, self.height)
        assert self.rotation_deg in (0, 90, 180, 270), self.rotation_deg
        assert self.frames_total > 0, self.frames_total


@dataclass(frozen=True, slots=True)
class FrameSample:
    """The frames taken from a video: uint8 RGB [T, H, W, 3], with their places in it.

    `indices` count displayed frames from 0; `timestamps_sec` are true presentation times, the video's first
    frame being 0.0. Both rise strictly. `warnings` are sentences for the user.
    """

    strategy: Literal["uniform", "fps"]
    images: NDArray[np.uint8]
    indices: tuple[int, ...]
    timestamps_sec: tuple[float, ...]
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.images.ndim == 4 and self.images.shape[3] == 3, self.images.shape
        assert self.images.dtype == np.uint8, self.images.dtype
        assert len(self.indices) == len(self.timestamps_sec) == len(self.images) > 0
        assert all(a < b for a, b in zip(self.indices, self.indices[1:], strict=False)), self.indices

    def __len__(self) -> int:
        return len(self.indices)


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
    """Seconds of wall clock. `ttft_sec` runs from RGB frames in host memory to the first token on the host.

    `tpot_sec` is the mean time of a generated token after the first, None when there is only one.
    Loading and decoding overlap, so the stages can sum to more than `total_sec`.
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


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model answered, where and how. `attention_reason` says in words why that back-end runs."""

    id: str
    revision: str | None
    family: str
    dtype: str
    device: str
    attention: str
    attention_reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One question answered, with everything a report needs.

    `keep` is bool [T, f], True where a visual token was kept, in raster order of `grid` (rows, columns).
    `text_tokens` counts every prompt token that is no frame-grid token (newline and CLS tokens included).
    """

    question: str
    text: str
    finish_reason: FinishReason
    video: VideoInfo
    sample: FrameSample
    model: ModelInfo
    text_tokens: int
    generated_tokens: int
    retention: tuple[FrameRetention, ...]
    keep: NDArray[np.bool_]
    grid: tuple[int, int]
    layers: tuple[LayerReport, ...]
    memory: MemoryStats
    timing: Timings
    seed: int | None
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        assert self.visual_kept == int(self.keep.sum()), (self.visual_kept, int(self.keep.sum()))
        assert self.keep.shape[1] == self.grid[0] * self.grid[1], (self.keep.shape, self.grid)
        assert self.memory.kv_bytes == sum(layer.kv_bytes for layer in self.layers)

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
class StageStarted:
    """An event of the pipeline: a stage that may take a while has begun."""

    stage: Literal["load", "decode", "preprocess", "vision", "prefill", "generate"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """An event of the pipeline: model and frames are there, and questions can be answered."""

    video: VideoInfo
    sample: FrameSample
    model: ModelInfo


@dataclass(frozen=True, slots=True)
class TextPiece:
    """An event of the pipeline: more of the answer, as it comes. The pieces join to the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of the pipeline."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class QuestionStarted:
    """An event of the pipeline with several questions: the `number`-th of them (from 1) is next."""

    number: int
    question: str


@dataclass(frozen=True, slots=True)
class QuestionFailed:
    """An event of the pipeline with several questions: this one has no answer; the others go on."""

    number: int
    question: str
    error: SharpvError


Event = StageStarted | Loaded | QuestionStarted | TextPiece | Finished | QuestionFailed


MethodName = Literal["dense", "visual", "memory", "both"]


@dataclass(frozen=True, slots=True)
class Cost:
    """Work of one answer by formula (not measured), with the shapes and per-layer KV lengths of its model.

    FLOPs count a multiply-add as two, and of attention the causal half only; bytes are what a decode step must
    read: weights once, and the KV cache. A decode step is the first one after the prefill. The language model
    only: Visual SharpV does not change what the vision tower costs.
    """

    prefill_flops: int
    decode_flops_per_token: int
    decode_weight_bytes: int
    decode_kv_bytes: int


@dataclass(frozen=True, slots=True)
class DeviceRates:
    """What this machine's device reaches in its own benchmark: a large copy (read + write) and a large matmul."""

    copy_bytes_per_sec: float
    matmul_flops_per_sec: float
    dtype: str


@dataclass(frozen=True, slots=True)
class MethodProfile:
    """One method on one clip. `answer` is its natural answer; `runs` are the timed runs, each with a fixed number
    of new tokens (end tokens ignored), in the order they ran; `cost` is by formula.

    Loading and decoding are measured once and repeated in every Timings; the `total_sec` of a run begins with
    RGB frames in host memory, like its TTFT.
    """

    method: MethodName
    answer: Answer
    runs: tuple[Timings, ...]
    cost: Cost


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One value of a swept setting, measured like a method."""

    key: str
    value: float
    profile: MethodProfile


@dataclass(frozen=True, slots=True)
class ClipProfile:
    """All that `sharpv profile` measured on a clip; also a valid result when it was interrupted in between.

    `m` is Memory SharpV's threshold M as set, None where it is off.
    """

    question: str
    new_tokens: int
    warmup: int
    methods: tuple[MethodProfile, ...]
    sweep: tuple[SweepPoint, ...]
    rates: DeviceRates | None
    m: float | None
    interrupted: bool


RunKind = Literal["answer", "warm-up", "timed"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """An event of the profiling pipeline: run `number` of `total` begins, all kinds counted.

    `label` is a method (`both`) or a swept value (`w=0.5`).
    """

    label: str
    kind: RunKind
    number: int
    total: int


ProfileEvent = StageStarted | RunStarted | ClipProfile


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream of a file, as its header says. Sizes are pixels as coded, `rate` is frames or samples a second.

    What the header does not say, or the kind of stream does not have, is None. `main` marks the one that is read.
    """

    index: int
    kind: str
    codec: str | None
    width: int | None = None
    height: int | None = None
    rate: float | None = None
    channels: int | None = None
    language: str | None = None
    main: bool = False


@dataclass(frozen=True, slots=True)
class SamplePlan:
    """The frames that would be taken, before any but the first is decoded: as in FrameSample, without images."""

    strategy: Literal["uniform", "fps"]
    indices: tuple[int, ...]
    timestamps_sec: tuple[float, ...]
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.indices) == len(self.timestamps_sec) > 0

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes that one answer needs, by formula (`sharpv_cli.models.estimate`).

    `frames` are decoded frames and what preprocessing copies, in host memory; all else is on the model's device:
    `pixels` as the vision tower takes them, `embeddings` of the whole prompt, `vision` the work of encoding and
    scoring, `prefill` the work of reading the kept tokens, `kv_cache` of all layers. `one_memory`: the device's
    memory is the host's.
    """

    weights: int
    frames: int
    pixels: int
    embeddings: int
    vision: int
    prefill: int
    kv_cache: int
    one_memory: bool

    @property
    def device_bytes(self) -> int:
        """The peak on the device; encoding and reading come one after the other."""
        work = max(self.vision, self.prefill + self.kv_cache)
        return self.weights + self.pixels + self.embeddings + work + (self.frames if self.one_memory else 0)


@dataclass(frozen=True, slots=True)
class MemoryScenario:
    """What would be needed with `kept` of the visual tokens; `name` is dense or SharpV.

    `fits` is None where the device does not say what is free.
    """

    name: Literal["dense", "sharpv"]
    retention: float
    kept: int
    estimate: MemoryEstimate
    fits: bool | None


@dataclass(frozen=True, slots=True)
class ModelOutlook:
    """What a model would make of the sampled frames, without its weights.

    The visual tokens of `slots` frames (temporal patches where a family merges frames) are `rows` x `columns`
    each; `text_tokens` is an estimate. `kv_bytes_per_token` counts all layers. `source` says where the facts
    are from. `advice` are flags that would make it fit, empty where it does.
    """

    id: str
    family: str
    source: str
    dtype: str
    device: str
    available_bytes: int | None
    parameters: int
    layers: int
    context: int | None
    kv_bytes_per_token: int
    slots: int
    rows: int
    columns: int
    text_tokens: int
    scenarios: tuple[MemoryScenario, ...]
    advice: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def visual_tokens(self) -> int:
        return self.slots * self.rows * self.columns


@dataclass(frozen=True, slots=True)
class Outlook:
    """All that `sharpv probe` finds: the file, the frames that would be taken, and what they would cost.

    `variable_rate`: the times between frames differ. Where nothing is known of the model, `model` is None and
    `model_error` says why and what to do, as (error, hint).
    """

    video: VideoInfo
    streams: tuple[StreamInfo, ...]
    size_bytes: int
    variable_rate: bool
    plan: SamplePlan
    model: ModelOutlook | None
    model_error: tuple[str, str | None] | None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert (self.model is None) != (self.model_error is None)
