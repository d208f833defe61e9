"""What an answer would cost, before it is begun."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sharpv_cli.types.video import SamplePlan, StreamInfo, VideoInfo


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
    are from. `advice` are flags that would make it fit, empty where it does. A long clip is encoded `chunk_frames`
    at a time, others (None) at once. The first of `scenarios` has all visual tokens that can be kept.
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
    chunk_frames: int | None = None

    @property
    def visual_tokens(self) -> int:
        return self.slots * self.rows * self.columns


@dataclass(frozen=True, slots=True)
class Outlook:
    """All that `sharpv probe` finds: the file, the frames that would be taken, and what they would cost.

    `variable_rate`: the times between frames differ. Where nothing is known of the model, `model` is None and
    `model_error` says why and what to do, as (error, hint). `subtitle_files` lie beside the video under its name.
    """

    video: VideoInfo
    streams: tuple[StreamInfo, ...]
    size_bytes: int
    variable_rate: bool
    plan: SamplePlan
    model: ModelOutlook | None
    model_error: tuple[str, str | None] | None
    warnings: tuple[str, ...] = ()
    subtitle_files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert (self.model is None) != (self.model_error is None)
