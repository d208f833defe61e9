"""What happens while questions about a file are answered, with settings in the place of flags."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable

from sharpv_cli.api import Sharpv
from sharpv_cli.settings import Settings
from sharpv_cli.types import Event
from sharpv_cli.video.probe import Scan

Path = str | os.PathLike[str]


def ask(
    video: Path, question: str, settings: Settings, scan: Scan | None = None
) -> Generator[Event, None, None]:
    return Sharpv(settings).events(video, question, scan)


def ask_all(video: Path, questions: Iterable[str], settings: Settings) -> Generator[Event, None, None]:
    return Sharpv(settings).events_of_all(video, questions)
