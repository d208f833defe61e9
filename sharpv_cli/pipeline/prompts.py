"""The prompts of questions about one clip, and their prefill: of one by itself, or of several from one look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from sharpv_cli.engine.engine import Prefill, Prefix
from sharpv_cli.errors import SharpvError
from sharpv_cli.metrics import StageClock
from sharpv_cli.models.available import available_bytes
from sharpv_cli.models.common import CommonPrompt, common_of
from sharpv_cli.pipeline.clip import Clip, Encoded, Encoding, Kept
from sharpv_cli.pipeline.frames import encode
from sharpv_cli.pipeline.long.encoding import reword
from sharpv_cli.pipeline.room import given_room
from sharpv_cli.pipeline.selecting import Selection
from sharpv_cli.session import Session
from sharpv_cli.settings import Settings
from sharpv_cli.shelf import SHELF


@dataclass
class Prompts:
    """Of single questions: with everything off, each is what stock `generate` reads, bit for bit.

    `shared_bytes` is the KV cache that is held for further questions, None where there is none; `first` the first
    prompt that was encoded, until somebody takes it.
    """

    clip: Clip
    shared_bytes: int | None = field(default=None, init=False)
    first: Encoded | None = field(default=None, init=False)

    def build(self, question: str, clock: StageClock, *, last: bool) -> Encoding:
        """The whole prompt; after the `last` question there is no other."""
        del last
        return self._encode(question, clock)

    def prefill(self, kept: Kept, *, last: bool) -> Prefill:
        """Have the language model read what is kept of it."""
        del last
        return self.clip.engine.prefill(kept.prompt, m=self.clip.threshold)

    def take_first(self) -> Encoded | None:
        """The first prompt, which is held no longer than its question needs it."""
        first, self.first = self.first, None
        return first

    def _encode(self, question: str, clock: StageClock) -> Encoding:
        coming = self.clip.frames.coming
        encoded = yield from given_room(
            self.clip.engine,
            lambda: encode(self.clip, question, clock),
            again=lambda: coming is None or not coming.touched,
        )
        self.first = self.first or encoded
        return encoded


@dataclass
class SharedPrompts(Prompts):
    """Of several questions: frames are preprocessed, encoded and read once, and each question goes on from there.

    Each is answered as it would be alone. The `last` one uses up what is shared, unless the clip `stays` for further
    commands (`asked_again`), who may come from `when_read` on. An only question of a command is read as that of another
    one: in two parts where the engine always does that, else as a whole.
    """

    stays: bool = False
    when_read: Callable[[], object] | None = field(default=None, init=False)
    _alone: bool = field(default=False, init=False)
    _count: int = field(default=0, init=False)
    _encoded: Encoded | None = field(default=None, init=False)
    _common: CommonPrompt | None = field(default=None, init=False)
    _prefix: _SharedPrefix | None = field(default=None, init=False)
    _failure: Exception | None = field(default=None, init=False)

    def asked_again(self, session: Session, settings: Settings, path: str, *, held: bool) -> SharedPrompts:
        """Those of a further command, of which there may be several at once: `Clip.asked_again`."""
        assert self._encoded is not None
        again = partial(Clip.asked_again, session=session, settings=settings, path=path, held=held)
        other = SharedPrompts(again(self.clip), self.stays)
        other._encoded = replace(self._encoded, clip=again(self._encoded.clip))
        other._common, other._prefix = self._common, self._prefix and self._prefix.fork()
        return other

    @property
    def complete(self) -> bool:
        """Whether further questions can be asked without looking at the video."""
        return self._encoded is not None and self._failure is None

    @property
    def nbytes(self) -> int:
        """Bytes that are held for further questions."""
        if self._encoded is None:
            return 0
        shared = 0 if self._prefix is None else self._prefix.prefix.cache.nbytes
        return self._encoded.nbytes + shared

    def free_bytes(self) -> int | None:
        """Bytes that are free where they are held."""
        return available_bytes(self.clip.loaded.device)

    def build(self, question: str, clock: StageClock, *, last: bool) -> Encoding:
        self._alone, self._count = last and not self._count, self._count + 1
        if self._encoded is None:
            return (yield from self._first(question, clock))
        with clock.stage("preprocess"):
            words = self._encoded.wordings.of(question)
            if (encoded := self._shared(words.ids)) is not None:
                return encoded
            self._prefix = None  # its memory is this question's now
            if self.clip.frames.coming is not None:
                return reword(self._encoded, words)
        return (yield from self._encode(question, clock))

    def prefill(self, kept: Kept, *, last: bool) -> Prefill:
        read = self._read(kept, last=last)
        if self.when_read is not None:
            self.when_read()
        return read

    def _read(self, kept: Kept, *, last: bool) -> Prefill:
        self.shared_bytes = None
        engine, prompt, m = self.clip.engine, kept.prompt, self.clip.threshold
        if kept.encoded.tail is None or (self._alone and not engine.always_in_two):
            if last and not self.stays:
                self._common = self._encoded = None
            return super().prefill(kept, last=last)
        length = len(prompt) - kept.encoded.tail
        prefix = self._prefix_for(kept.selection, m, lambda: engine.read_prefix(prompt, length, m=m))
        self.shared_bytes = None if self._alone else prefix.cache.nbytes
        used_up = last and not (self.stays and SHELF.has_room_for(prefix.cache.nbytes, self.free_bytes()))
        if used_up:
            self._common = self._prefix = self._encoded = None
        return engine.read_on(prefix, prompt, last=used_up)

    def _first(self, question: str, clock: StageClock) -> Encoding:
        """Encode the clip, and find what its prompts may have in common; an only question is like any single one."""
        if self._failure is not None:
            raise self._failure
        frames = self.clip.frames.coming
        try:
            encoded = yield from self._encode(question, clock)
        except (SharpvError, RuntimeError, MemoryError) as error:
            if frames is not None and frames.touched:
                self._failure = error  # those that were taken do not come again
            raise
        if self._alone and not self.stays and not self.clip.engine.always_in_two:
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

    def _prefix_for(self, selection: Selection, m: float | None, read: Callable[[], Prefix]) -> Prefix:
        """The shared prefix; read again only where a question is so long that SharpV has to keep less for it.

        Or where a later command has another threshold `m`.
        """
        if self._prefix is None or not self._prefix.fits(selection, m):
            self._prefix = None  # its memory first
            self._prefix = _SharedPrefix(selection, m, read())
        return self._prefix.prefix


@dataclass(frozen=True, slots=True)
class _SharedPrefix:
    selection: Selection
    m: float | None
    prefix: Prefix

    def fork(self) -> _SharedPrefix:
        """One that may be used up without the other; tensors are shared."""
        return replace(self, prefix=replace(self.prefix, cache=self.prefix.cache.fork()))

    def fits(self, other: Selection, m: float | None) -> bool:
        same = self.selection.contiguous == other.contiguous and self.m == m
        return same and torch.equal(self.selection.keep, other.keep)
