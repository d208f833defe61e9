"""The settings as Python programs give them."""

from __future__ import annotations

from typing import Literal, TypedDict


class Flags(TypedDict, total=False):
    """The settings by the names of the command's flags (docs/cli.md); None leaves one unset."""

    model: str | None
    revision: str | None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] | None
    attention: Literal["auto", "flash", "sdpa", "eager"] | None
    frames: int | None
    fps: float | None
    max_frames: int | None
    start: float | str | None
    end: float | str | None
    at: str | list[float] | None
    allow_url: bool | None
    picture: bool | None
    max_pixels: int | None
    max_bytes: int | None
    timeout: float | None
    prune: Literal["adaptive", "manual", "off"] | None
    w: float | None
    scale: float | None
    k: float | None
    min_tokens: int | None
    memory: bool | None
    m: float | None
    max_new_tokens: int | None
    temperature: float | None
    stop: str | None
    seed: int | None
    subtitles: str | None
    max_subtitle_tokens: int | None
    positions: Literal["original", "contiguous"] | None
    device: str | None
    engine: Literal["auto", "fast", "reference"] | None
    offline: bool | None
    memory_check: bool | None
    keep_warm: str | None
    stream: bool | None
    seen: Literal["auto", "off", "only", "refresh"] | None
    seen_max_bytes: int | None
