"""What happens while questions are answered: about a file with settings in the place of flags, or about frames."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator

from sharpv_cli.api import Sharpv
from sharpv_cli.pipeline import question as path
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.prompts import Prompts
from sharpv_cli.session import Session
from sharpv_cli.settings import Settings
from sharpv_cli.types import Event, FrameSample, VideoInfo
from sharpv_cli.video.frames import Frames
from sharpv_cli.video.probe import Scan

Path = str | os.PathLike[str]


def ask(
    video: Path, question: str, settings: Settings, scan: Scan | None = None, session: Session | None = None
) -> Generator[Event, None, None]:
    """With a `session` that is there already the model is not loaded once more."""
    sharpv = Sharpv(settings)
    sharpv._session = session
    return sharpv.events(video, question, scan)


def ask_all(video: Path, questions: Iterable[str], settings: Settings) -> Generator[Event, None, None]:
    return Sharpv(settings).events_of_all(video, questions)


def answer(
    session: Session,
    info: VideoInfo,
    sample: FrameSample,
    question: str,
    settings: Settings,
    *,
    new_tokens: int | None = None,
    **spent: float,
) -> Iterator[Event]:
    clip = Clip(session, Frames(info, sample), settings, new_tokens)
    return path.answer(Prompts(clip), question, spent=path.Spent(**spent))


def answer_about(of: Clip | Prompts, question: str, *, last: bool = False) -> Iterator[Event]:
    return path.answer(Prompts(of) if isinstance(of, Clip) else of, question, last=last)
