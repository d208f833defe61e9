"""The next token, from logits: greedy or sampled, with the checkpoint's repetition penalty."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import RepetitionPenaltyLogitsProcessor


class Chooser:
    """The next token, int64 [1, 1], from logits float32 [1, vocabulary]; nothing waits for the device.

    `input_ids` int64 [1, P] is the prompt. At `temperature` 0 it is the largest logit, else a sample of a generator
    of its own, seeded with `seed`.
    """

    def __init__(self, model: Any, input_ids: Tensor, temperature: float, seed: int | None) -> None:
        self._temperature = temperature
        self._generator: torch.Generator | None = None
        if temperature > 0:
            self._generator = torch.Generator(device=input_ids.device)
            if seed is not None:
                self._generator.manual_seed(seed)
            else:
                self._generator.seed()
        penalty = getattr(model.generation_config, "repetition_penalty", None)
        self._penalty = RepetitionPenaltyLogitsProcessor(penalty) if penalty not in (None, 1.0) else None
        self._seen = input_ids

    def __call__(self, logits: Tensor) -> Tensor:
        if self._penalty is not None:
            logits = self._penalty(self._seen, logits)
        token = self._pick(logits)
        if self._penalty is not None:
            self._seen = torch.cat([self._seen, token], dim=-1)
        return token

    def _pick(self, logits: Tensor) -> Tensor:
        if self._generator is None:
            return logits.argmax(dim=-1, keepdim=True)
        odds = torch.softmax(logits / self._temperature, dim=-1)
        return torch.multinomial(odds, num_samples=1, generator=self._generator)
