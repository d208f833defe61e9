"""Several questions about one video: preprocessed, encoded and read once, and each question goes on from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sharpv_cli.engine.engine import Prefix
from sharpv_cli.errors import SharpvError
from sharpv_cli.metrics import StageClock
from sharpv_cli.models.common import CommonPrompt, common_of
from sharpv_cli.models.door import VisualPrompt
from sharpv_cli.models.wording import Wording
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.encoding import Encoded, Encoding, encode, encode_again
from sharpv_cli.pipeline.reading import Reading, Steps, prune, read_encoded, read_once
from sharpv_cli.pipeline.selecting import Selection
from sharpv_cli.types import StageStarted


@dataclass
class SharedVideo:
    """What the questions about one clip have in common, made by the first of them.

    Each question is answered as it would be alone; `read` is used in the place of `read_once`.
    """

    clip: Clip
    _encoded: Encoded | None = field(default=None, init=False)
    _common: CommonPrompt | None = field(default=None, init=False)
    _prefix: _SharedPrefix | None = field(default=None, init=False)
    _failure: Exception | None = field(default=None, init=False)

    def read(self, question: str, clock: StageClock, *, last: bool = False) -> Steps:
        """Read one more question; the `last` one uses up what is shared."""
        if self._encoded is None:
            encoded = yield from self._look(question, clock)
            asked = self._asked(encoded.whole.input_ids, clock)
            alone = read_encoded(encoded, clock)
        else:
            with clock.stage("preprocess"):
                words = self._encoded.wordings.of(question)
            asked = self._asked(words.ids, clock)
            alone = self._read_alone(self._encoded, question, words, clock)
        if asked is not None:
            return (yield from self._read_on(*asked, clock, last))
        self._prefix = None  # its memory is this question's now
        return (yield from alone)

    def _look(self, question: str, clock: StageClock) -> Encoding:
        """Encode the clip and find what its prompts may have in common."""
        if self._failure is not None:
            raise self._failure
        try:
            encoded = yield from encode(self.clip, question, clock)
        except (SharpvError, RuntimeError, MemoryError) as error:
            if self.clip.frames is not None and self.clip.frames.touched:
                self._failure = error  # those that were taken do not come again
            raise
        self._common = common_of(encoded.whole)
        whole = encoded.whole if self._common is None else self._common.head
        self._encoded = replace(encoded, whole=whole)
        return encoded

    def _asked(self, ids: Tensor, clock: StageClock) -> tuple[VisualPrompt, int] | None:
        """The prompt of these tokens behind what is common, and how many are its own; None where they differ before."""
        with clock.stage("preprocess"):
            return None if self._common is None else self._common.ask(self.clip.loaded, ids)

    def _read_alone(self, encoded: Encoded, question: str, words: Wording, clock: StageClock) -> Steps:
        """Frames that came in chunks do not come again: what is held of them is put into the other prompt."""
        if self.clip.frames is None:
            return (yield from read_once(self.clip, question, clock))
        with clock.stage("preprocess"):
            other = encode_again(encoded, words)
        return (yield from read_encoded(other, clock))

    def _read_on(self, whole: VisualPrompt, tail: int, clock: StageClock, last: bool) -> Steps:
        assert self._encoded is not None
        encoded = replace(self._encoded, whole=whole)
        selection, prompt = prune(encoded, clock)
        yield StageStarted("prefill")
        with clock.stage("prefill"):
            engine, m = self.clip.engine, self.clip.threshold
            prefix = self._prefix_for(selection, lambda: engine.read_prefix(prompt, len(prompt) - tail, m=m))
            shared_bytes = prefix.cache.nbytes
            if last:
                self._common = self._prefix = self._encoded = None
            done = engine.read_on(prefix, prompt, last=last)
        return Reading(encoded.clip, whole, selection, done, shared_bytes)

    def _prefix_for(self, selection: Selection, read: Callable[[], Prefix]) -> Prefix:
        """The shared prefix; read again only where a question is so long that SharpV has to keep less for it."""
        if self._prefix is None or not self._prefix.fits(selection):
            self._prefix = None  # its memory first
            self._prefix = _SharedPrefix(selection, read())
        return self._prefix.prefix


@dataclass(frozen=True, slots=True)
class _SharedPrefix:
    selection: Selection
    prefix: Prefix

    def fits(self, other: Selection) -> bool:
        return self.selection.contiguous == other.contiguous and torch.equal(self.selection.keep, other.keep)
