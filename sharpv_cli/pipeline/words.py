"""The words of one answer while they come to be: decoded token by token, or chosen among some texts."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sharpv_cli import metrics
from sharpv_cli.engine.guiding import GrammarGuide
from sharpv_cli.models.streaming import TextStream
from sharpv_cli.pipeline.choosing import Contest
from sharpv_cli.types import (
    Choice,
    Event,
    FinishReason,
    Form,
    PromptRead,
    Reading,
    StageStarted,
    TextPiece,
    TokenLogprob,
    Waiting,
)

if TYPE_CHECKING:
    from sharpv_cli.engine.engine import Prefill
    from sharpv_cli.pipeline.clip import Clip, Kept
    from sharpv_cli.settings import Settings


@dataclass
class Words(ABC):
    """`events` says them as they come; afterwards the fields have all of them. Ctrl-C ends them where they are.

    `token_logprobs` are those of `token_ids`, where the form asks for them.
    """

    kept: Kept
    form: Form
    text: str = field(default="", init=False)
    seed: int | None = field(default=None, init=False)
    token_ids: list[int] = field(default_factory=list, init=False)
    token_times: list[float] = field(default_factory=list, init=False)
    token_logprobs: list[float] = field(default_factory=list, init=False)
    choices: tuple[Choice, ...] = field(default=(), init=False)
    finish_reason: FinishReason = field(default="length", init=False)
    told_sec: float = field(default=0.0, init=False)

    @property
    def clip(self) -> Clip:
        return self.kept.encoded.clip

    def events(self, prefill: Prefill, reading: Reading) -> Iterator[Event]:
        try:
            yield from self._tell(reading)
            yield StageStarted("generate")
            yield from self._said(prefill)
        except KeyboardInterrupt:
            self.finish_reason = "interrupted"
        if rest := self._rest():
            yield TextPiece(rest)

    def _tell(self, reading: Reading) -> Iterator[Event]:
        """Whoever draws it takes that time from no token."""
        since = metrics.now()
        yield PromptRead(reading)
        self.told_sec = metrics.now() - since

    @abstractmethod
    def _said(self, prefill: Prefill) -> Iterator[Event]:
        """Pieces of the text, and the fields with them."""

    @abstractmethod
    def _rest(self) -> str:
        """The last piece of the text, however it ended."""

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...] | None:
        """Of each token, where that was asked for."""
        if not self.form.logprobs:
            return None
        texts = (self.clip.loaded.tokenizer.decode([token_id]) for token_id in self.token_ids)
        return tuple(map(TokenLogprob, self.token_ids, texts, self.token_logprobs))


def words_of(kept: Kept, form: Form) -> Words:
    """Those of an answer to a prompt, before it is read. Raises UsageError for choices that the model cannot write."""
    return Chosen(kept, form) if form.choices else Decoded(kept, form)


class Decoded(Words):
    """Token by token: any text, or what a grammar allows."""

    def __init__(self, kept: Kept, form: Form) -> None:
        super().__init__(kept, form)
        self.seed = _seed_of(self.clip.settings)
        loaded, grammar = self.clip.loaded, form.grammar
        self._guide = None if grammar is None else GrammarGuide(loaded, grammar)
        # What has a grammar begins and ends by it.
        stop = self.clip.stop if grammar is None else None
        self._stream = TextStream(loaded.tokenizer, stop, whole=grammar is not None)
        self._logprobs: list[Tensor] | None = [] if form.logprobs else None

    def _said(self, prefill: Prefill) -> Iterator[Event]:
        tokens = self.clip.engine.decode(
            prefill,
            max_new_tokens=self.clip.limit,
            stop_ids=self.clip.stop_ids,
            temperature=self.clip.settings.generation.temperature,
            seed=self.seed,
            guide=self._guide,
            logprobs=self._logprobs,
        )
        with closing(tokens):
            for token_id in tokens:
                if token_id is None:
                    yield Waiting()
                    continue
                self.token_times.append(metrics.now())
                self.token_ids.append(token_id)
                if piece := self._stream.push(token_id):
                    yield TextPiece(piece)
                if self._stream.stopped:
                    break
        if self._has_ended():
            self.finish_reason = "stop"

    def _has_ended(self) -> bool:
        if self._stream.stopped or len(self.token_ids) < self.clip.limit:
            return True
        return self._guide is not None and self._guide.completed_by(self.token_ids)

    def _rest(self) -> str:
        rest = self._stream.finish()
        self.text = self._stream.text
        if self._logprobs and self.token_ids:
            self.token_logprobs = torch.cat(self._logprobs[: len(self.token_ids)]).tolist()
        return rest


class Chosen(Words):
    """The likeliest of some texts; nothing is decoded."""

    def __init__(self, kept: Kept, form: Form) -> None:
        super().__init__(kept, form)
        self._contest = Contest.of(kept, form)

    def _said(self, prefill: Prefill) -> Iterator[Event]:
        self.choices, best = self._contest.held(self.clip, prefill)
        self.text = self.choices[best.choice].text
        self.token_ids, self.token_logprobs = list(best.leaf.ids), list(best.logprobs[: len(best.leaf.ids)])
        self.token_times = [metrics.now()]
        self.finish_reason = "stop"
        yield TextPiece(self.text)

    def _rest(self) -> str:
        return ""


def _seed_of(settings: Settings) -> int | None:
    """The seed that sampling uses: the user's, or a fresh one to report. Greedy decoding has none."""
    if settings.generation.temperature == 0:
        return None
    seed = settings.generation.seed
    return secrets.randbelow(2**32) if seed is None else seed
