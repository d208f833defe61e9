"""Several questions about one video: preprocessed, encoded and read once, and each question goes on from there."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace

import torch

from sharpv_cli.engine.engine import Prefix
from sharpv_cli.errors import SharpvError
from sharpv_cli.metrics import StageClock
from sharpv_cli.models.stem import Stem, stem_of
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.encoding import Encoded, encode, encode_again
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
    _stem: Stem | None = field(default=None, init=False)
    _prefix: _SharedPrefix | None = field(default=None, init=False)
    _nothing_shared: bool = field(default=False, init=False)
    _failure: Exception | None = field(default=None, init=False)

    def read(self, question: str, clock: StageClock, *, last: bool = False) -> Steps:
        """Read one more question; the `last` one uses up what is shared."""
        if self._stem is None and not self._nothing_shared:
            yield from self._look(question, clock)
        if self._stem is not None:
            return (yield from self._read_on(self._stem, question, clock, last))
        if self._encoded is None:
            return (yield from read_once(self.clip, question, clock))
        return (yield from read_encoded(encode_again(self._encoded, question, clock), clock))

    def _look(self, question: str, clock: StageClock) -> Generator[StageStarted, None, None]:
        """Encode the clip and find what its prompts have in common."""
        if self._failure is not None:
            raise self._failure
        try:
            encoded = yield from encode(self.clip, question, clock)
        except (SharpvError, RuntimeError, MemoryError) as error:
            if self.clip.frames is not None and self.clip.frames.touched:
                self._failure = error  # those that were taken do not come again
            raise
        self._stem = stem_of(self.clip.loaded, encoded.whole, question, self.clip.settings.prompt)
        self._nothing_shared = self._stem is None
        if self._stem is not None or self.clip.frames is not None:
            whole = encoded.whole if self._stem is None else self._stem.head
            self._encoded = replace(encoded, whole=whole)

    def _read_on(self, stem: Stem, question: str, clock: StageClock, last: bool) -> Steps:
        with clock.stage("preprocess"):
            whole, tail = stem.ask(self.clip.loaded, question, self.clip.settings.prompt)
        assert self._encoded is not None
        encoded = replace(self._encoded, whole=whole)
        selection, prompt = prune(encoded, clock)
        yield StageStarted("prefill")
        with clock.stage("prefill"):
            engine, m = self.clip.engine, self.clip.threshold
            prefix = self._prefix_for(selection, lambda: engine.read_prefix(prompt, len(prompt) - tail, m=m))
            shared_bytes = prefix.cache.nbytes
            if last:
                self._stem = self._prefix = self._encoded = None
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
