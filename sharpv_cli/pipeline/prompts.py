"""The prompts of questions about one clip, and their prefill: of one by itself, or of several from one look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sharpv_cli.engine.engine import Prefill, Prefix
from sharpv_cli.errors import SharpvError
from sharpv_cli.metrics import StageClock
from sharpv_cli.models.common import CommonPrompt, common_of
from sharpv_cli.pipeline.clip import Clip, Encoded, Encoding, Kept
from sharpv_cli.pipeline.frames import encode
from sharpv_cli.pipeline.long.encoding import reword
from sharpv_cli.pipeline.selecting import Selection


@dataclass
class Prompts:
    """Of single questions: with everything off, each is what stock `generate` reads, bit for bit.

    `shared_bytes` is the KV cache that is held for further questions, None where there is none.
    """

    clip: Clip
    shared_bytes: int | None = field(default=None, init=False)

    def build(self, question: str, clock: StageClock, *, last: bool) -> Encoding:
        """The whole prompt; after the `last` question there is no other."""
        del last
        return encode(self.clip, question, clock)

    def prefill(self, kept: Kept, *, last: bool) -> Prefill:
        """Have the language model read what is kept of it."""
        del last
        return self.clip.engine.prefill(kept.prompt, m=self.clip.threshold)


@dataclass
class SharedPrompts(Prompts):
    """Of several questions: frames are preprocessed, encoded and read once, and each question goes on from there.

    Each is answered as it would be alone. The `last` one uses up what is shared.
    """

    _encoded: Encoded | None = field(default=None, init=False)
    _common: CommonPrompt | None = field(default=None, init=False)
    _prefix: _SharedPrefix | None = field(default=None, init=False)
    _failure: Exception | None = field(default=None, init=False)

    def build(self, question: str, clock: StageClock, *, last: bool) -> Encoding:
        if self._encoded is None:
            return (yield from self._first(question, clock, last))
        with clock.stage("preprocess"):
            words = self._encoded.wordings.of(question)
            if (encoded := self._shared(words.ids)) is not None:
                return encoded
            self._prefix = None  # its memory is this question's now
            if self.clip.frames.coming is not None:
                return reword(self._encoded, words)
        return (yield from encode(self.clip, question, clock))

    def prefill(self, kept: Kept, *, last: bool) -> Prefill:
        self.shared_bytes = None
        if kept.encoded.tail is None:
            return super().prefill(kept, last=last)
        engine, prompt, m = self.clip.engine, kept.prompt, self.clip.threshold
        length = len(prompt) - kept.encoded.tail
        prefix = self._prefix_for(kept.selection, lambda: engine.read_prefix(prompt, length, m=m))
        self.shared_bytes = prefix.cache.nbytes
        if last:
            self._common = self._prefix = self._encoded = None
        return engine.read_on(prefix, prompt, last=last)

    def _first(self, question: str, clock: StageClock, last: bool) -> Encoding:
        """Encode the clip, and find what its prompts may have in common; an only question is like any single one."""
        if self._failure is not None:
            raise self._failure
        frames = self.clip.frames.coming
        try:
            encoded = yield from encode(self.clip, question, clock)
        except (SharpvError, RuntimeError, MemoryError) as error:
            if frames is not None and frames.touched:
                self._failure = error  # those that were taken do not come again
            raise
        if last:
            return encoded
        self._common = common_of(encoded.whole)
        whole = encoded.whole if self._common is None else self._common.head
        self._encoded = replace(encoded, whole=whole)
        with clock.stage("preprocess"):
            return self._shared(encoded.whole.input_ids) or encoded

    def _shared(self, ids: Tensor) -> Encoded | None:
        """The prompt of these tokens behind what is common; None where they differ before."""
        asked = None if self._common is None else self._common.ask(self.clip.loaded, ids)
        if asked is None or self._encoded is None:
            return None
        whole, tail = asked
        return replace(self._encoded, whole=whole, tail=tail)

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
