"""A clip of a tiny model as it is after it was kept on disk and read again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tiny_model import folder, session

from sharpv_cli.api import Sharpv
from sharpv_cli.models.identity import checkpoint_identity
from sharpv_cli.pipeline.clip import Clip, Encoded
from sharpv_cli.pipeline.recalling import _entry, frames_seen
from sharpv_cli.seen.entry import Entry, entry_of
from sharpv_cli.seen.key import Maker, VisualKey
from sharpv_cli.settings import Settings
from sharpv_cli.settings.dotted import nest
from sharpv_cli.types import Answer, Finished, Noted
from sharpv_cli.video.encoding import write_clip

DIGEST = "0" * 64


def written(encoded: Encoded) -> bytes:
    settings = encoded.clip.settings
    key = VisualKey(DIGEST, checkpoint_identity(settings.model), "{}", "{}")
    entry = _entry(encoded, "clip.mp4", key, Maker.of(encoded.clip.session), "e0")
    assert entry is not None
    return entry.to_bytes()


def seen_again(of: Clip, content: bytes, **changes: Any) -> Clip:
    entry: Entry = entry_of(memoryview(bytearray(content)))
    return replace(of, frames=frames_seen("clip.mp4", entry), entry=entry, **changes)


def seen_video(path: Path, frames: int = 12, shade: int = 0) -> Path:
    """A clip of a box that moves."""
    images = []
    for number in range(frames):
        image = np.full((48, 80, 3), 40 + shade, np.uint8)
        image[10:30, 5 * number : 5 * number + 15] = (250, 20, 20)
        images.append(image)
    write_clip(path, images, 10.0)
    return path


class SeenVideo:
    """A video that is asked about with the tiny model, which is loaded once; `decoded` counts looks at it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []

    @property
    def folder(self) -> Path:
        return Path(os.environ["XDG_CACHE_HOME"]) / "sharpv" / "seen"

    def settings(self, **changes: object) -> Settings:
        own = {
            "model.id": str(folder()),
            "sampling.frames": 4,
            "generation.max_new_tokens": 4,
            "device": "cpu",
        }
        return Settings.model_validate(nest({**own, **changes}))

    def ask(self, question: str = "What moves?", **changes: object) -> Answer:
        settings = self.settings(**changes)
        model = Sharpv(settings)
        model._session = session(settings.engine)
        events = list(model.events(self.path, question))
        self.notes = [event.text for event in events if isinstance(event, Noted)]
        return next(event.answer for event in events if isinstance(event, Finished))

    def answers(self, questions: list[str], **changes: object) -> Iterator[Answer]:
        settings = self.settings(**changes)
        model = Sharpv(settings)
        model._session = session(settings.engine)
        for event in model.events_of_all(self.path, questions):
            if isinstance(event, Finished):
                yield event.answer
