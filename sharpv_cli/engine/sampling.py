"""The next token, from logits: greedy or sampled, behind all that the checkpoint's generation config asks for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import torch
from torch import Tensor

from sharpv_cli.engine.late import Late
from sharpv_cli.models.generation import logits_processors


class Guide(Protocol):
    """What an answer may be, token by token."""

    def allowed(self) -> Tensor:
        """Which tokens may come next, bool [1, vocabulary], on the logits' device; at least one."""

    def take(self, token_id: int) -> None:
        """The token that came."""


class Sampler:
    """The next token, int64 [1, 1], from logits float32 [1, vocabulary].

    `input_ids` int64 [1, P] is the prompt that was read: of a pruned one, the kept tokens. At `temperature` 0 it is
    the largest logit, else a sample of a generator of its own, seeded with `seed`. A `guide` leaves out what may not
    come; it hears of a token when the next one is chosen, while the device computes already, so that no step of the
    model waits for it. `logprobs` gets a number for each token, under the model's own logits.
    """

    def __init__(
        self,
        model: Any,
        input_ids: Tensor,
        *,
        max_new_tokens: int,
        stop_ids: Collection[int],
        temperature: float,
        seed: int | None,
        guide: Guide | None = None,
        logprobs: list[Tensor] | None = None,
    ) -> None:
        self._generator = _seeded(input_ids.device, seed) if temperature > 0 else None
        self._processors = logits_processors(
            model, input_ids, max_new_tokens=max_new_tokens, stop_ids=stop_ids, temperature=temperature
        )
        self._seen = input_ids
        self._guide = guide
        self._coming: Late | None = None  # the token before, on its way to the host
        self._logprobs = logprobs

    @property
    def is_plain(self) -> bool:
        """Whether it takes the largest logit, and nobody has to be told: then anybody may do it for many at once."""
        asked_for = (self._generator, self._guide, self._logprobs)
        return not self._processors and all(one is None for one in asked_for)

    def __call__(self, logits: Tensor) -> Tensor:
        token = self._pick(self._processed(logits, self._mask()))
        if self._processors:  # nothing else waits for the device
            self._seen = torch.cat([self._seen, token], dim=-1)
        if self._guide is not None:
            self._coming = Late(token)
        if self._logprobs is not None:
            self._logprobs.append(torch.log_softmax(logits, dim=-1).gather(-1, token)[0])
        return token

    def _mask(self) -> Tensor | None:
        if self._guide is None:
            return None
        if self._coming is not None:
            self._guide.take(int(self._coming.value()))
        return self._guide.allowed()

    def _processed(self, logits: Tensor, allowed: Tensor | None) -> Tensor:
        if allowed is None:
            return self._processors(self._seen, logits) if self._processors else logits
        possible = logits.masked_fill(~allowed, float("-inf"))
        if not self._processors:
            return possible
        # The checkpoint's wishes hold among what may come; where they leave nothing of it, what may come does.
        scores: Tensor = self._processors(self._seen, possible).masked_fill(~allowed, float("-inf"))
        return torch.where(scores.isfinite().any(), scores, possible)

    def _pick(self, scores: Tensor) -> Tensor:
        if self._generator is None:
            return scores.argmax(dim=-1, keepdim=True)
        odds = torch.softmax(scores, dim=-1)
        return torch.multinomial(odds, num_samples=1, generator=self._generator)


def _seeded(device: torch.device, seed: int | None) -> torch.Generator:
    generator = torch.Generator(device=device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator
