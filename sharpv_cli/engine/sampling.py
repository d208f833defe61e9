"""The next token, from logits: greedy or sampled, behind all that the checkpoint's generation config asks for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from sharpv_cli.models.generation import logits_processors


class Sampler:
    """The next token, int64 [1, 1], from logits float32 [1, vocabulary].

    `input_ids` int64 [1, P] is the prompt that was read: of a pruned one, the kept tokens. At `temperature` 0 it is
    the largest logit, else a sample of a generator of its own, seeded with `seed`.
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
    ) -> None:
        self._generator = _seeded(input_ids.device, seed) if temperature > 0 else None
        self._processors = logits_processors(
            model, input_ids, max_new_tokens=max_new_tokens, stop_ids=stop_ids, temperature=temperature
        )
        self._seen = input_ids

    def __call__(self, logits: Tensor) -> Tensor:
        if not self._processors:  # nothing then waits for the device
            return self._pick(logits)
        token = self._pick(self._processors(self._seen, logits))
        self._seen = torch.cat([self._seen, token], dim=-1)
        return token

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
