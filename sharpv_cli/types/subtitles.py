"""The words of a video, as its subtitles have them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cue:
    """Plain text on one line, and when it is on screen; the video's first frame is at 0."""

    start_sec: float
    end_sec: float
    text: str


@dataclass(frozen=True, slots=True)
class Subtitles:
    """The cues of the stretch that is looked at, in the order of time.

    `source` is a file's name, or `stream 2` of the video; `format` is FFmpeg's name of it. `warnings` are sentences for
    the user.
    """

    source: str
    format: str
    language: str | None
    cues: tuple[Cue, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UsedSubtitles:
    """What of the subtitles is in the prompt: `cues` of them, as `tokens`; `left_out` had no room."""

    source: str
    format: str
    language: str | None
    cues: int
    left_out: int
    tokens: int
