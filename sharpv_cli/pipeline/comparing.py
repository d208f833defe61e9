"""One clip under several pruning methods: encoded once, and each question is read with each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sharpv_cli.engine.device import synchronize
from sharpv_cli.engine.engine import Engine
from sharpv_cli.metrics import StageClock
from sharpv_cli.models.common import CommonPrompt, common_of
from sharpv_cli.pipeline.answering import answer_by, whole_answer
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.encoding import Encoded, encode
from sharpv_cli.pipeline.fitting import memory_told
from sharpv_cli.pipeline.reading import Steps, prune, read_encoded
from sharpv_cli.pruning.plan import KeepPlan
from sharpv_cli.session import Session
from sharpv_cli.types import Answer

if TYPE_CHECKING:
    from sharpv_cli.settings import Settings

Plan = Callable[[Tensor], KeepPlan]
"""What to keep of the visual tokens [T, f, D] of a clip."""


@dataclass
class ComparedClip:
    """Answers about one clip. Every answer is the one that `answering.answer` gives, without its vision again.

    The frames are all encoded at once. Settings of an answer may differ from the clip's in what comes after the vision:
    pruning, memory, positions. All of it raises UsageError, ResourceError and ModelError as `answering.answer` does.
    """

    clip: Clip
    _common: CommonPrompt | None = field(default=None, init=False)
    _question: str = field(default="", init=False)
    _whole: Encoded | None = field(default=None, init=False)
    _counts: Tensor | None = field(default=None, init=False)

    def keep_counts(self, question: str) -> Tensor:
        """How many visual tokens of each frame the clip's own settings keep, int64 [T], on the CPU.

        They are what an answer with these settings keeps, also where the context makes it keep less.
        """
        encoded = self._encoded(question)
        if self._counts is None:
            selection, _ = prune(encoded, StageClock())
            self._counts = selection.keep.sum(dim=1).cpu()
        return self._counts

    def tokens(self, question: str) -> tuple[int, int]:
        """T and f: the frames and the visual tokens of each."""
        frames, tokens = self._encoded(question).whole.slots.shape
        return frames, tokens

    def answer(
        self, question: str, settings: Settings, *, plan: Plan | None = None, engine: Engine | None = None
    ) -> Answer:
        """The answer with other settings; `plan` prunes in the place of SharpV, `engine` reads and decodes.

        An interrupted answer is none: it raises KeyboardInterrupt.
        """
        encoded = self._encoded(question)
        session = self.clip.session if engine is None else Session(self.clip.loaded, engine)
        clip = replace(self.clip, settings=settings, session=session)

        def read(_question: str, clock: StageClock) -> Steps:
            with clock.stage("prune"), torch.no_grad():
                own = _planned(encoded, plan) if plan is not None else encoded
            return (yield from read_encoded(replace(own, clip=clip), clock))

        return whole_answer(answer_by(read, clip, question))

    def _encoded(self, question: str) -> Encoded:
        """The whole prompt of a question; the frames are encoded with the first, and again where nothing is shared."""
        if self._whole is not None and question == self._question:
            return self._whole
        with memory_told(self.clip):
            encoded = self._encode(question)
            synchronize(self.clip.loaded.device)  # or the first method's selection would wait for the vision
        self._question, self._whole, self._counts = question, encoded, None
        return encoded

    def _encode(self, question: str) -> Encoded:
        if self._whole is not None and self._common is not None:
            asked = self._common.ask(self.clip.loaded, self._whole.wordings.of(question).ids)
            if asked is not None:
                return replace(self._whole, whole=asked[0])
        encoded = _encode(self.clip, question)
        self._common = common_of(encoded.whole)
        return encoded


def _encode(clip: Clip, question: str) -> Encoded:
    stages = encode(clip, question, StageClock())
    while True:
        try:
            next(stages)
        except StopIteration as end:
            encoded: Encoded = end.value
            return encoded


def _planned(encoded: Encoded, plan: Plan) -> Encoded:
    made = plan(encoded.whole.features)
    whole = encoded.whole if made.features is None else encoded.whole.with_features(made.features)
    return replace(encoded, whole=whole, keep=made.keep)
