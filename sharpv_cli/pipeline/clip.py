"""What a question is asked about, and what answers it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from torch import Tensor

from sharpv_cli.engine.device import make_current
from sharpv_cli.engine.engine import Engine
from sharpv_cli.metrics import StageClock
from sharpv_cli.models.capture import DEEPSTACK, Prompt, VisualPrompt, capture
from sharpv_cli.models.known import beyond_training
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.models.tower import quick_tower
from sharpv_cli.models.wording import Wording, Wordings
from sharpv_cli.pipeline.selecting import Selection
from sharpv_cli.pipeline.spoken import Spoken, spoken
from sharpv_cli.pruning.visual import Scores
from sharpv_cli.session import Session
from sharpv_cli.types import Event, FrameSample, VideoInfo
from sharpv_cli.video.frames import Frames
from sharpv_cli.video.sinks import Take

if TYPE_CHECKING:
    from sharpv_cli.seen.entry import Entry
    from sharpv_cli.settings import PromptSettings, Settings


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames of a video, the session that answers about them, and the settings of the answer.

    With `new_tokens` an answer has exactly so many, whatever the settings. `entry` is what an earlier look left of them
    on disk: then they are small pictures, and not looked at again. `held`: this process has them since an earlier
    command, and a process of its own would find them on disk.
    """

    session: Session
    frames: Frames
    settings: Settings
    new_tokens: int | None = None
    entry: Entry | None = None
    held: bool = False
    spoken: Spoken | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.frames.subtitles is not None:
            most = self.settings.prompt.max_subtitle_tokens
            words = spoken(self.loaded, self.frames.subtitles, self.sample, most)
            object.__setattr__(self, "spoken", words)
        # Whoever makes a clip answers about it in the same thread; the model may have been loaded in another one.
        make_current(self.loaded.device)

    def of(self, take: Take) -> Clip:
        """With other frames of the same video: it is damaged, and those that were to come do not."""
        frames = Frames.announced(take, self.frames.coming)
        return replace(self, frames=replace(frames, subtitles=self.frames.subtitles))

    @property
    def prompt(self) -> PromptSettings:
        """What stands around a question, the words of the video with it."""
        given = self.settings.prompt
        if self.spoken is None or self.spoken.text is None:
            return given
        texts = [text for text in (self.spoken.text, given.prefix) if text is not None]
        return given.model_copy(update={"prefix": "\n".join(texts)})

    def asked_again(self, session: Session, settings: Settings, path: str, *, held: bool) -> Clip:
        """For a later command, which knows the same file as `path` and may want other answers about it."""
        frames = replace(self.frames, info=replace(self.frames.info, path=path))
        return replace(self, session=session, settings=settings, frames=frames, held=held)

    @property
    def seen(self) -> bool:
        """Whether an earlier command looked at the video, and this one need not."""
        return self.held or self.entry is not None

    @property
    def info(self) -> VideoInfo:
        return self.frames.info

    @property
    def sample(self) -> FrameSample:
        return self.frames.sample

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the user, about the model, the frames, and both together."""
        beyond = beyond_training(self.loaded.info.id, len(self.sample))
        words = () if self.spoken is None else self.spoken.warnings
        return self.loaded.warnings + self.sample.warnings + words + beyond

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

    def capture(self, inputs: Mapping[str, Tensor]) -> VisualPrompt:
        """Encode what the processor made of frames, and take the prompt that the language model would get."""
        with quick_tower(self.loaded.model) if self.engine.name == "fast" else nullcontext():
            return capture(self.loaded.model, inputs, self.loaded.family)

    def captured(
        self, inputs: Mapping[str, Tensor], clock: StageClock
    ) -> Generator[Event, None, VisualPrompt]:
        """As `capture`; where clips are asked about together, in one run with others that wait for the same."""
        several = self.session.several
        if several is None or not several.vision.has_room_beside(inputs):
            with clock.stage("vision"):
                return self.capture(inputs)
        whole, seconds = yield from several.vision.encoded(inputs)
        clock.seconds["vision"] += seconds
        return whole

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


@dataclass(frozen=True, slots=True)
class Encoded:
    """The `whole` prompt of a question about `clip`, which is as its frames turned out to be.

    `wordings` gives the prompts of other questions; `tail` is how many of the last tokens are this question's own, None
    where nothing is shared. Of a clip that came in chunks there are `scores`, unless nothing is pruned, and `words`.
    `keep` bool [T, f] is what another method than SharpV keeps; None leaves it to the settings.
    """

    clip: Clip
    whole: VisualPrompt
    wordings: Wordings
    scores: Scores | None = None
    words: Wording | None = None
    keep: Tensor | None = None
    tail: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, the frames included."""
        scores = (
            () if self.scores is None else (self.scores.spatial, self.scores.temporal, self.scores.importance)
        )
        tensors: list[Tensor] = [self.whole.embeds, *self.whole.extra.get(DEEPSTACK, ()), *scores]
        seen = 0 if self.clip.entry is None else self.clip.entry.part.rows.nbytes
        return seen + self.clip.sample.images.nbytes + sum(tensor.nbytes for tensor in tensors)


Encoding = Generator[Event, None, Encoded]
"""The stages as they begin; what they give is returned at the end."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What Visual SharpV, or another method, keeps of a prompt: `prompt` is what the language model reads."""

    encoded: Encoded
    selection: Selection
    prompt: Prompt
    scores: Scores | None

    @property
    def told(self) -> Kept:
        """As `Prompt.told`."""
        return replace(
            self, encoded=replace(self.encoded, whole=self.encoded.whole.told), prompt=self.prompt.told
        )
