"""What the pipeline yields while it works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sharpv_cli.errors import SharpvError
from sharpv_cli.types.answer import Answer, ModelInfo, Reading
from sharpv_cli.types.video import FrameSample, VideoInfo


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
class PromptRead:
    """An event of the pipeline: the first token is next, and what was kept for it is known."""

    reading: Reading


@dataclass(frozen=True, slots=True)
class TextPiece:
    """An event of the pipeline: more of the answer, as it comes. The pieces join to the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """An event of the pipeline: the answer is complete."""

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


@dataclass(frozen=True, slots=True)
class Noted:
    """An event of the pipeline: a sentence for the user that belongs to no answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event of the pipeline, where answers are decoded together: this one cannot go on before others have.

    `company`: another one that begins now may have done with it what this one waits for.
    """

    company: bool = False


Event = (
    StageStarted
    | Loaded
    | QuestionStarted
    | PromptRead
    | Waiting
    | TextPiece
    | Finished
    | QuestionFailed
    | Noted
)
