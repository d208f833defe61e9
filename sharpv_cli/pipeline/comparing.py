"""One clip under several pruning methods: encoded once, and each question is read behind what each of them keeps."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sharpv_cli.engine.device import synchronize
from sharpv_cli.engine.engine import Engine, Prefill, Prefix
from sharpv_cli.metrics import StageClock, now
from sharpv_cli.models.available import available_bytes
from sharpv_cli.models.capture import Prompt
from sharpv_cli.pipeline.clip import Clip, Encoded, Encoding, Kept
from sharpv_cli.pipeline.conveyor import answer_of, waited
from sharpv_cli.pipeline.fitting import memory_told
from sharpv_cli.pipeline.frames import keep
from sharpv_cli.pipeline.prompts import Prompts, SharedPrompts
from sharpv_cli.pipeline.question import answer
from sharpv_cli.pipeline.selecting import scale_for, scores_of
from sharpv_cli.pruning.plan import KeepPlan
from sharpv_cli.session import Session
from sharpv_cli.types import ANY_TEXT, Answer, Form, Waiting

if TYPE_CHECKING:
    from sharpv_cli.settings import Settings, VisualSettings
    from sharpv_cli.video.frames import Frames

Plan = Callable[[Tensor], KeepPlan]
"""What to keep of the visual tokens [T, f, D] of a clip."""

_SHARE = 1024  # one in so many free bytes is for what is held of a method: there may be many, of many clips at once


@dataclass
class ComparedClip:
    """Answers about one clip, of work on a conveyor: `ask` a question, and it is what all else is about.

    Every answer is the one that `question.answer` gives, without its vision again. The frames are all encoded at once.
    Settings of an answer may differ from the clip's in what comes after the vision: pruning, memory, positions. All of
    it raises UsageError, ResourceError and ModelError as `question.answer` does. `again` reads the video once more, so
    many frames of it, while other work goes on. `prompts` are the clip's; those of an earlier comparison are encoded.
    """

    clip: Clip
    prompts: SharedPrompts
    again: Callable[[int], Generator[Waiting, None, Frames]] | None = None
    _fewer: dict[int, ComparedClip] = field(default_factory=dict, init=False)
    _read: list[_Begun] = field(default_factory=list, init=False)
    _question: str | None = field(default=None, init=False)
    _encoded: Encoded = field(init=False)
    _counts: Tensor | None = field(default=None, init=False)

    def ask(self, question: str) -> Generator[Waiting]:
        """The whole prompt of a question; the frames are encoded with the first, and again where nothing is shared."""
        if question == self._question:
            return
        self._question = self._counts = None
        with memory_told(self.clip):
            self._encoded = yield from waited(self.prompts.build(question, StageClock(), last=False))
            synchronize(self.clip.loaded.device)  # or the first method's selection would wait for the vision
        self._question = question

    def keep_counts(self) -> Tensor:
        """How many visual tokens of each frame the clip's own settings keep, int64 [T], on the CPU.

        They are what an answer with these settings keeps, also where the context makes it keep less.
        """
        if self._counts is None:
            self._counts = keep(self._encoded, StageClock()).selection.keep.sum(dim=1).cpu()
        return self._counts

    @property
    def tokens(self) -> tuple[int, int]:
        """T and f: the frames and the visual tokens of each."""
        frames, tokens = self._encoded.whole.slots.shape
        return frames, tokens

    @property
    def size(self) -> int:
        """The visual tokens of the clip, where nothing is pruned."""
        return prod(self.tokens)

    def scale_for(self, visual: VisualSettings, most: int) -> float | None:
        """As `selecting.scale_for`, for this clip."""
        return scale_for(scores_of(self._encoded.whole, visual), visual, most)

    def fewer(self, frames: int) -> Generator[Waiting, None, ComparedClip]:
        """The same video with so many of its frames, as who asks with `--frames` gets them. Raises VideoError, too."""
        assert self.again is not None
        if frames not in self._fewer:
            clip = replace(self.clip, frames=(yield from self.again(frames)), entry=None)
            self._fewer[frames] = ComparedClip(clip, SharedPrompts(clip))
        return self._fewer[frames]

    def answer(
        self,
        settings: Settings,
        *,
        plan: Plan | None = None,
        engine: Engine | None = None,
        form: Form = ANY_TEXT,
    ) -> Generator[Waiting, None, Answer]:
        """The answer with other settings; `plan` prunes in the place of SharpV, `engine` reads and decodes.

        An interrupted answer is none: it raises KeyboardInterrupt.
        """
        assert self._question is not None, "nothing was asked"
        session = self.clip.session if engine is None else Session(self.clip.loaded, engine)
        clip = replace(self.clip, settings=settings, session=session)
        prompts = _Planned(clip, self._encoded, plan, self._read)
        found = yield from answer_of(answer(prompts, self._question, form=form))
        return _with_prefill(found, prompts.spared_sec)


def _with_prefill(found: Answer, seconds: float) -> Answer:
    """As if nothing had been read before: methods are compared by their times as well."""
    timing = found.timing
    return replace(
        found,
        timing=replace(
            timing,
            prefill_sec=timing.prefill_sec + seconds,
            ttft_sec=timing.ttft_sec + seconds,
            total_sec=timing.total_sec + seconds,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Begun:
    """What questions have in common, as read with the threshold `m`, in so many `seconds`."""

    head: Prompt
    m: float | None
    prefix: Prefix
    seconds: float

    def begins(self, prompt: Prompt, m: float | None) -> bool:
        """Whether a prompt begins with it, tensor by tensor: methods may merge tokens, too."""
        mine, length = self.head, self.prefix.length
        if self.m != m or len(prompt) <= length:
            return False
        pairs = (
            (mine.input_ids, prompt.input_ids[:, :length]),
            (mine.position_ids, prompt.position_ids[..., :length]),
            (mine.embeds, prompt.embeds[:, :length]),
        )
        return all(torch.equal(one, other) for one, other in pairs)


@dataclass
class _Planned(Prompts):
    """A prompt that is built already, of which a plan may say what is kept.

    What an engine reads by itself anyway stays in `read` for the clip's other questions, where there is ample memory;
    `spared_sec` is what was spared so.
    """

    encoded: Encoded
    plan: Plan | None
    read: list[_Begun]
    spared_sec: float = field(default=0.0, init=False)

    def build(self, question: str, clock: StageClock, *, last: bool) -> Encoding:
        del question, last
        yield from ()
        with clock.stage("prune"), torch.no_grad():
            own = self.encoded if self.plan is None else _planned(self.encoded, self.plan)
        return replace(own, clip=self.clip)

    def prefill(self, kept: Kept, *, last: bool) -> Prefill:
        engine, prompt, m, tail = self.clip.engine, kept.prompt, self.clip.threshold, kept.encoded.tail
        if tail is None or not engine.always_in_two:
            return super().prefill(kept, last=last)
        begun = next((one for one in self.read if one.begins(prompt, m)), None)
        if begun is None:
            begun = self._begun(prompt, len(prompt) - tail)
        else:
            self.spared_sec = begun.seconds
        return engine.read_on(begun.prefix, prompt)

    def _begun(self, prompt: Prompt, length: int) -> _Begun:
        began, m = now(), self.clip.threshold
        prefix = self.clip.engine.read_prefix(prompt, length, m=m)
        begun = _Begun(prompt.head(length), m, prefix, now() - began)
        free = available_bytes(self.clip.loaded.device)
        if free is None or prefix.cache.nbytes <= free // _SHARE:
            self.read.append(begun)
        return begun


def _planned(encoded: Encoded, plan: Plan) -> Encoded:
    made = plan(encoded.whole.features)
    whole = encoded.whole if made.features is None else encoded.whole.with_features(made.features)
    return replace(encoded, whole=whole, keep=made.keep)
