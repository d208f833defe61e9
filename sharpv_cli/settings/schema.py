"""The settings of one run: names, types, ranges and defaults. A profile's YAML has the same shape."""

from __future__ import annotations

import threading
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from sharpv_cli.settings.limits import LONGEST_TEXT, length_of
from sharpv_cli.settings.moments import canonical
from sharpv_cli.units import TIME_FORMS, moment_of, seconds_of

BUILTIN_MODEL = "builtin"


def _no_bool(value: object) -> object:
    """Python counts True as 1, and YAML reads `on` as True: neither is a number of anything here."""
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")  # noqa: TRY004 - pydantic collects ValueError
    return value


def _comparable(start: float | None, end: float) -> bool:
    """Whether both count from the same end of the video, so that the order is known without it."""
    return ((start or 0.0) < 0) == (end < 0)


def _off_is_text(value: object) -> object:
    """YAML 1.1 reads a bare `off` as False."""
    return "off" if value is False else value


def _not_too_cold(value: float) -> float:
    """Logits over it still have to be numbers in float32."""
    if 0 < value < _COLDEST:
        raise ValueError("should be 0, or from 0.000001 to 1000000")
    return value


def _not_too_long(value: str) -> str:
    if (count := length_of(value)) > LONGEST_TEXT:
        raise ValueError(f"has {count} bytes, and {LONGEST_TEXT} are the most")
    return value


_MANY = 2**31  # what counts frames, tokens and pixels in other libraries ends there
_LARGE = 1e6  # scores are float32: far above it, they would no longer differ
_COLDEST = 1e-6


def _moment(value: object) -> object:
    """Written as people do; YAML reads `1:30` as a number of seconds itself."""
    return moment_of(value) if isinstance(value, str) else value


def _subtitles_as_text(value: object) -> object:
    """YAML reads the index of a stream as a number, and a bare `off` or `no` (Norwegian) as False."""
    if value is False:
        return "off"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _not_the_beginning(value: float) -> float:
    if value == 0:
        raise ValueError("should be above 0, or below 0 to count from the end")
    return value


def _time_as_text(value: object) -> object:
    """YAML reads `0` and `90` as numbers, and a bare `off` as False."""
    if value is False:
        return "0"
    return value if isinstance(value, bool) or not isinstance(value, int | float) else str(value)


def _readable_time(value: str) -> str:
    seconds_of(value)
    return value


Int = Annotated[int, BeforeValidator(_no_bool)]
Float = Annotated[float, BeforeValidator(_no_bool)]
Moment = Annotated[float, BeforeValidator(_no_bool), BeforeValidator(_moment)]
End = Annotated[Moment, AfterValidator(_not_the_beginning)]
Moments = Annotated[str, BeforeValidator(canonical)]
Words = Annotated[str, AfterValidator(_not_too_long)]
Temperature = Annotated[Float, AfterValidator(_not_too_cold)]
Subtitles = Annotated[str, BeforeValidator(_subtitles_as_text)]
KeepWarm = Annotated[str, BeforeValidator(_time_as_text), AfterValidator(_readable_time)]
Seen = Annotated[Literal["auto", "off", "only", "refresh"], BeforeValidator(_off_is_text)]
Mode = Annotated[Literal["adaptive", "manual", "off"], BeforeValidator(_off_is_text)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSettings(_Group):
    """Which checkpoint answers, and how it is loaded."""

    id: str = Field(
        default=BUILTIN_MODEL,
        min_length=1,
        description="hub id (`owner/name`) or folder (`./name`); `builtin` is the demo model",
    )
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub")
    family: str | None = Field(
        default=None, description="the config's model_type; read from the config when unset"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="auto: bfloat16 on CUDA, else float32"
    )
    attention: Literal["auto", "flash", "sdpa", "eager"] = Field(
        default="auto", description="attention backend of the language model; auto: flash, else sdpa"
    )


class SamplingSettings(_Group):
    """Which frames are taken from the video."""

    strategy: Literal["uniform", "fps", "at"] = Field(
        default="uniform", description="by number of frames, by rate, or at given times"
    )
    frames: Int = Field(
        default=32, ge=1, lt=_MANY, description="number of frames, spread over the clip (uniform)"
    )
    fps: Float = Field(default=1.0, gt=0, le=_LARGE, description="frames per second of video (fps)")
    max_frames: Int | None = Field(
        default=None, ge=1, lt=_MANY, description="maximum number of frames (fps); unlimited when unset"
    )
    start: Moment | None = Field(
        default=None, description=f"frames are taken from here on (uniform, fps): {TIME_FORMS}"
    )
    end: End | None = Field(default=None, description="frames are taken up to here (uniform, fps): as start")
    at: Moments | None = Field(
        default=None, description="frames on screen at these times (at): as start, with commas between them"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> SamplingSettings:
        if self.strategy == "at" and self.at is None:
            raise ValueError("the strategy at needs times, such as --at 12.5,13")
        if self.end is not None and (self.start or 0.0) >= self.end and _comparable(self.start, self.end):
            raise ValueError(f"--start {self.start or 0:g} is not before --end {self.end:g}")
        return self


class VideoSettings(_Group):
    """What is accepted as a video, and what reading one may cost (`sharpv_cli.video.local.Limits`)."""

    allow_url: bool = Field(default=False, description="download http and https addresses")
    picture: bool = Field(default=False, description="read a still picture as a clip of one frame")
    max_pixels: Int = Field(
        default=36_000_000, ge=1, lt=_MANY, description="maximum number of pixels in a picture"
    )
    max_bytes: Int = Field(
        default=8 << 30,
        ge=1,
        lt=2**63,
        description="maximum number of bytes copied from stdin, a pipe or a URL",
    )
    timeout: Float = Field(
        default=300.0,
        gt=0,
        le=threading.TIMEOUT_MAX,
        description="seconds to fetch the video, and to read it",
    )


class VisualSettings(_Group):
    """Visual SharpV: which visual tokens reach the language model (arXiv 2511.08003)."""

    mode: Mode = Field(
        default="adaptive", description="how tokens are kept: per-frame ratio, threshold k, or all"
    )
    w: Float = Field(default=1.0, ge=0, le=_LARGE, description="weight of the spatial score S in I = T + w S")
    scale: Float = Field(
        default=1.0, gt=0, le=_LARGE, description="multiplier on the adaptive ratio of each frame"
    )
    k: Float = Field(default=1.6, ge=0, le=_LARGE, description="threshold on I (manual)")
    min_tokens: Int = Field(default=1, ge=1, lt=_MANY, description="minimum visual tokens per frame")


class MemorySettings(_Group):
    """Memory SharpV: which layers keep their visual KV entries for decoding."""

    enabled: bool = Field(default=True, description="discard visual KV entries of degraded layers")
    m: Float = Field(
        default=0.2, ge=-1, le=1, description="a layer whose similarity is below m discards them"
    )


class GenerationSettings(_Group):
    """How the answer is decoded; greedy at temperature 0."""

    max_new_tokens: Int = Field(
        default=128, ge=1, lt=_MANY, description="maximum number of tokens in the answer"
    )
    temperature: Temperature = Field(
        default=0.0, ge=0, le=_LARGE, description="0 is greedy, else from 0.000001 on"
    )
    stop: str | None = Field(default=None, min_length=1, description="text before which the answer ends")
    seed: Int | None = Field(
        default=None, ge=0, lt=2**63, description="seed of sampling; only used above temperature 0"
    )


class PromptSettings(_Group):
    """Text around the question."""

    system: Words | None = Field(
        default=None, description="system message; the chat template's own when unset"
    )
    prefix: Words | None = Field(default=None, description="text put before the question")
    suffix: Words | None = Field(default=None, description="text put after the question")
    subtitles: Subtitles = Field(
        default="off",
        min_length=1,
        description="words of the video in the prompt: off, auto, a file, a stream's index as `sharpv probe` shows it, "
        "or a language such as en",
    )
    max_subtitle_tokens: Int = Field(
        default=4096, ge=1, lt=_MANY, description="maximum number of tokens of subtitles"
    )


class Settings(_Group):
    """Everything that decides an answer, apart from the video and the question."""

    model: ModelSettings = ModelSettings()
    sampling: SamplingSettings = SamplingSettings()
    video: VideoSettings = VideoSettings()
    visual: VisualSettings = VisualSettings()
    memory: MemorySettings = MemorySettings()
    generation: GenerationSettings = GenerationSettings()
    prompt: PromptSettings = PromptSettings()
    positions: Literal["original", "contiguous"] = Field(
        default="original", description="position ids of kept tokens: with their gaps, or closed up"
    )
    device: str = Field(
        default="auto",
        min_length=1,
        description="auto: cuda, else mps, else cpu; balanced: split over all GPUs",
    )
    engine: Literal["auto", "fast", "reference"] = Field(
        default="auto", description="what runs the language model; auto: fast if it supports the model"
    )
    offline: bool = Field(default=False, description="never touch the network")
    memory_check: bool = Field(
        default=True, description="refuse what would not fit into memory, by estimate, before it starts"
    )
    keep_warm: KeepWarm = Field(
        default="5m",
        description="how long the model stays loaded after an answer: 5m, 90s, forever; 0: not at all",
    )
    stream: bool | None = Field(
        default=None,
        description="print an answer as it comes, or when it is complete; by default as it comes on a terminal only",
    )
    seen: Seen = Field(
        default="auto",
        description="what was kept of a video that was seen before: use and add to it, leave it alone, use nothing "
        "else, or make it anew",
    )
    seen_max_bytes: Int = Field(
        default=10 << 30,
        ge=0,
        lt=2**63,
        description="maximum number of bytes kept of videos; least recent go first",
    )


GROUPS: dict[str, type[_Group]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, _Group)
}
