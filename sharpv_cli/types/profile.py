"""A clip measured with several methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sharpv_cli.types.answer import Answer, Timings
from sharpv_cli.types.events import StageStarted

MethodName = Literal["dense", "visual", "memory", "both"]
EngineName = Literal["stock", "reference", "fast"]


def method_label(name: str) -> str:
    """A method as people read it, in a profile as in an evaluation: `both`, as documents call it, is SharpV itself."""
    return "sharpv" if name == "both" else name


@dataclass(frozen=True, slots=True)
class Cost:
    """Work of one answer by formula (not measured), with the shapes and per-layer KV lengths of its model.

    FLOPs count a multiply-add as two, and of attention the causal half only; bytes are what a decode step must
    read: weights once, and the KV cache. A decode step is the first one after the prefill. `vision_flops` are the
    vision tower's, without projector; all else is the language model's.
    """

    vision_flops: int
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
class Failure:
    """Why something could not be measured, as the user would be told: `hint` is the next step, or None."""

    error: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class SweepFailure:
    """A value of a swept setting that could not be measured, or not in all runs."""

    key: str
    value: float
    method: MethodName
    failure: Failure


@dataclass(frozen=True, slots=True)
class EngineRun:
    """Seconds of one timed run of an engine, as in Timings; None is what the engine does not tell apart."""

    preprocess_sec: float
    vision_sec: float | None
    prune_sec: float | None
    prefill_sec: float | None
    ttft_sec: float
    tpot_sec: float | None
    total_sec: float


@dataclass(frozen=True, slots=True)
class EngineAnswer:
    """The natural answer of an engine: `tokens` are its ids without the one that ended it.

    `kv_bytes` is what the cache stores after the prefill; `peak_bytes` as in MemoryStats.
    """

    text: str
    tokens: tuple[int, ...]
    kv_bytes: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """One way of running the language model on the clip: `stock` is transformers' own `generate`.

    `method` is dense, or both: the settings as given. `runs` as in MethodProfile. With a `failure` nothing was
    measured, or not all.
    """

    engine: EngineName
    method: MethodName
    answer: EngineAnswer | None = None
    runs: tuple[EngineRun, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class ClipProfile:
    """All that `sharpv profile` measured on a clip; also a valid result when it was interrupted in between.

    `m` is Memory SharpV's threshold M as set, None where it is off. A swept number of frames has two points, both
    and dense.
    """

    question: str
    new_tokens: int
    warmup: int
    methods: tuple[MethodProfile, ...]
    sweep: tuple[SweepPoint, ...]
    rates: DeviceRates | None
    m: float | None
    interrupted: bool
    sweep_failures: tuple[SweepFailure, ...] = ()
    engines: tuple[EngineProfile, ...] = ()


RunKind = Literal["answer", "warm-up", "timed"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """An event of the profiling pipeline: run `number` of `total` begins, all kinds counted.

    `label` is a method (`both`), a swept value (`w=0.5`) or an engine (`stock`).
    """

    label: str
    kind: RunKind
    number: int
    total: int


ProfileEvent = StageStarted | RunStarted | ClipProfile
