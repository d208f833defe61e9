"""What an engine is: it reads prompts and generates tokens with a language model, and knows no text.

Two of them do the same by other means: `reference` is the stock language model, `fast` our own passes over the
same weights. What is common to both stands here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sharpv_cli.engine.cache import SharpVCache, others
from sharpv_cli.engine.memory import Discard, MemorySharpV, Observer
from sharpv_cli.engine.sampling import Guide, Sampler
from sharpv_cli.models.capture import Prompt


@dataclass(frozen=True, slots=True)
class Prefill:
    """A `prompt` that the language model has read, ready to be decoded once; what it was read by is gone.

    `logits` float32 [1, vocabulary] of the first answer token; `similarities` s_l by layer, None where it was
    not measured; `discarded` the layers without visual entries. Decoding goes on with `cache`.
    """

    prompt: Prompt
    logits: Tensor
    cache: SharpVCache
    similarities: tuple[float | None, ...]
    discarded: frozenset[int]


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first `length` tokens of a prompt, every visual one among them, as the language model has read them.

    `similarities` s_l by layer, None where it was not measured; `degraded` the layers that a question discards
    the visual entries of. `cache` holds all entries of all layers.
    """

    length: int
    cache: SharpVCache
    similarities: tuple[float | None, ...]
    degraded: frozenset[int]


@dataclass(frozen=True, slots=True)
class Continuation:
    """Token ids that may follow a prompt, at least one; with `ends` the answer is over behind them."""

    ids: tuple[int, ...]
    ends: bool = False

    @property
    def read(self) -> tuple[int, ...]:
        """The tokens that have to be read to know how likely all of it is."""
        return self.ids if self.ends else self.ids[:-1]


class Engine(ABC):
    """Prefill and decoding with one loaded model (batch of one). `reason` says in words why this engine runs.

    A prompt may be read in two parts: what several questions share, once, and each question on a fork of its
    cache. Nothing is discarded from the shared part: each question is read with all layers, as a single one
    would be, and discards for its own decoding only. So it gets the answer that it would get alone
    (docs/decisions.md).
    """

    name: str
    needs_scores: bool = False
    """Whether it holds attention scores of all pairs of tokens, layer by layer."""

    @property
    def always_in_two(self) -> bool:
        """Whether an only question, too, is read behind what all questions of its clip share.

        So its answer has the same bits whether that was read now or for an earlier question.
        """
        return False

    def __init__(self, model: Any, reason: str = "asked for") -> None:
        self.model = model
        self.reason = reason

    @abstractmethod
    def read(self, prompt: Prompt, cache: SharpVCache, memory: Observer | None = None) -> Tensor:
        """Pass a prompt, or the part of one that `cache` does not hold yet, through the language model.

        `memory` sees every decoder layer's output. Gives the logits of the last token, float32 [1, vocabulary].
        """

    @abstractmethod
    def _tokens(self, start: Prefill, choose: Sampler, count: int) -> Generator[int | None]:
        """At most `count` token ids that `choose` chooses, the first from the logits of `start`. It may be closed.

        None among them: the next one needs a step for several answers (`together`), which somebody else makes.
        """

    @abstractmethod
    def _behind(self, start: Prefill, ids: Tensor) -> Tensor:
        """The logits behind each of the tokens `ids` int64 [1, q], float32 [q, vocabulary]; `start` stays as it is."""

    @torch.no_grad()
    def decode(
        self,
        start: Prefill,
        *,
        max_new_tokens: int,
        stop_ids: Collection[int],
        temperature: float = 0.0,
        seed: int | None = None,
        guide: Guide | None = None,
        logprobs: list[Tensor] | None = None,
    ) -> Generator[int | None, None, None]:
        """Yield the answer's token ids; a stop id ends it and is not yielded. None is waiting (`together`).

        Greedy at temperature 0, else sampled as stock `generate` samples at this temperature, with a generator of
        its own, seeded with `seed`. What the checkpoint's generation config asks for holds in both, as in stock
        `generate`; it sees the prompt as it was read. Raises ModelError where that is of no use. A `guide` allows some
        tokens only; `logprobs` gets the logarithm of each token's probability, float32 [1], under the model's own
        logits, the stop id's last. A Prefill can be decoded once: its cache is used up.
        """
        choose = Sampler(
            self.model,
            start.prompt.input_ids,
            max_new_tokens=max_new_tokens,
            stop_ids=stop_ids,
            temperature=temperature,
            seed=seed,
            guide=guide,
            logprobs=logprobs,
        )
        with closing(self._tokens(start, choose, max_new_tokens)) as tokens:
            for token_id in tokens:
                if token_id in stop_ids:
                    return
                yield token_id

    @torch.no_grad()
    def score(
        self, start: Prefill, answers: Sequence[Continuation], stop_ids: Collection[int] = ()
    ) -> list[list[float]]:
        """The logarithm of the probability of each token of each answer, and where it `ends` of its end, by `stop_ids`.

        Under the model's own logits, as decoding would come to them: behind the first token, layers do not see what
        they have discarded. What answers begin with alike is read once. `start` can still be decoded.
        """
        first = torch.log_softmax(start.logits, dim=-1)
        known: dict[tuple[int, ...], Tensor] = {(): first}
        for answer in sorted(answers, key=lambda one: -len(one.read)):
            if not any(ids[: len(answer.read)] == answer.read for ids in known):
                ids = torch.tensor([answer.read], device=start.logits.device)
                behind = torch.log_softmax(self._behind(start, ids), dim=-1)
                known[answer.read] = torch.cat([first, behind])
        return [_taken(next(known[ids] for ids in known if ids[: len(one.read)] == one.read), one, stop_ids)
                for one in answers]  # fmt: skip

    def warm_up(self) -> None:  # noqa: B027 - most engines have nothing to make ready
        """Make ready what the first answer would wait for."""

    def release(self) -> None:  # noqa: B027 - most engines keep nothing
        """Give back what is kept for a next answer."""

    def give_way(self) -> Iterator[None] | None:
        """To be waited through before what ran out of memory is tried again; None where that is no use."""
        return None

    @property
    def layers(self) -> int:
        """Decoder layers."""
        return len(self.model.get_decoder().layers)

    @torch.no_grad()
    def prefill(self, prompt: Prompt, *, m: float | None) -> Prefill:
        """Read the prompt; with a threshold `m`, Memory SharpV discards on the way (None: no layer is measured).

        The prefill itself attends to everything, so its logits do not depend on `m`.
        """
        cache = SharpVCache(self.layers)
        memory = self._memory(prompt, cache, m)
        logits = self.read(prompt, cache, memory)
        return Prefill(prompt.told, logits, cache, *self._decisions(memory))

    @torch.no_grad()
    def read_prefix(self, prompt: Prompt, length: int, *, m: float | None) -> Prefix:
        """Read the first `length` tokens of `prompt`; with a threshold `m`, Memory SharpV measures each layer."""
        head = prompt.head(length)
        cache = SharpVCache(self.layers)
        memory = self._memory(head, cache, m, evict=False)
        self.read(head, cache, memory)
        return Prefix(length, cache, *self._decisions(memory))

    @torch.no_grad()
    def read_on(self, prefix: Prefix, prompt: Prompt, *, last: bool = False) -> Prefill:
        """Read the rest of `prompt`, which begins with the prefix's own tokens, and discard for its decoding.

        The prefix stays as it is for the next prompt, unless this is the `last` one: then its memory is used up.
        """
        cache = prefix.cache if last else prefix.cache.fork()
        discard = Discard(prefix.degraded, cache, others(prompt.visual, len(prompt)))
        logits = self.read(prompt.tail(prefix.length), cache, discard)
        return Prefill(prompt.told, logits, cache, prefix.similarities, prefix.degraded)

    def _memory(
        self, prompt: Prompt, cache: SharpVCache, m: float | None, *, evict: bool = True
    ) -> MemorySharpV | None:
        return None if m is None else MemorySharpV(self.model.get_decoder(), cache, prompt, m, evict=evict)

    def _decisions(self, memory: MemorySharpV | None) -> tuple[tuple[float | None, ...], frozenset[int]]:
        if memory is None:
            return (None,) * self.layers, frozenset()
        memory.finish()
        return tuple(memory.similarities), frozenset(memory.degraded)


def _taken(rows: Tensor, answer: Continuation, stop_ids: Collection[int]) -> list[float]:
    """Of log probabilities [q, vocabulary], those of the answer's tokens and its end."""
    index = torch.tensor(answer.ids, device=rows.device)
    taken = rows[: len(index)].gather(-1, index[:, None])[:, 0]
    if answer.ends:
        ends = rows[len(index), torch.tensor(sorted(stop_ids), device=rows.device)]
        taken = torch.cat([taken, ends.logsumexp(0, keepdim=True)])
    values: list[float] = taken.tolist()
    return values
