"""What a question is asked about, and what answers it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpv_cli.engine.device import make_current
from sharpv_cli.engine.engine import Engine
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.session import Session
from sharpv_cli.types import FrameSample, VideoInfo
from sharpv_cli.video.frames import Chunks, Frames
from sharpv_cli.video.sinks import Take

if TYPE_CHECKING:
    from sharpv_cli.settings import Settings


@dataclass(frozen=True, slots=True)
class Clip:
    """A decoded video, the session that answers about it, and the settings of what comes after the engine's choice.

    With `new_tokens` an answer has exactly so many, whatever the settings.
    """

    session: Session
    video: Frames
    settings: Settings
    new_tokens: int | None = None

    def __post_init__(self) -> None:
        # Whoever makes a clip answers about it in the same thread; the model may have been loaded in another one.
        make_current(self.loaded.device)

    def of(self, take: Take) -> Clip:
        """With other frames of the same video: it is damaged, and those that were to come do not."""
        return replace(self, video=Frames.announced(take, self.frames))

    @property
    def info(self) -> VideoInfo:
        return self.video.info

    @property
    def sample(self) -> FrameSample:
        return self.video.sample

    @property
    def frames(self) -> Chunks | None:
        """Those of a long clip, which come in chunks and once."""
        return self.video.coming

    @property
    def loaded(self) -> LoadedModel:
        return self.session.loaded

    @property
    def engine(self) -> Engine:
        """What runs the language model."""
        return self.session.engine

    @property
    def on_device(self) -> bool:
        """Whether frames are made ready and encoded the fast engine's way, on a GPU."""
        return self.engine.name == "fast" and self.loaded.device.type == "cuda"

    @property
    def limit(self) -> int:
        """Most tokens of an answer."""
        return self.settings.generation.max_new_tokens if self.new_tokens is None else self.new_tokens

    @property
    def stop_ids(self) -> frozenset[int]:
        """The token ids that end an answer: none where its length is set."""
        return self.loaded.stop_ids if self.new_tokens is None else frozenset()

    @property
    def stop(self) -> str | None:
        """The text before which an answer ends; none where its length is set."""
        return self.settings.generation.stop if self.new_tokens is None else None

    @property
    def threshold(self) -> float | None:
        """Memory SharpV's M, None where it is off."""
        return self.settings.memory.m if self.settings.memory.enabled else None
