"""Answers of a form: which tokens may come next, by llguidance, while the device computes what is likely."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sharpv_cli.errors import ModelError, ResourceError

if TYPE_CHECKING:
    from llguidance import LLTokenizer

    from sharpv_cli.models.loading import LoadedModel


class GrammarGuide:
    """Holds one answer of a loaded model to a grammar (`Form.grammar`). Raises ModelError where it cannot."""

    def __init__(self, loaded: LoadedModel, grammar: str) -> None:
        from llguidance import LLMatcher

        stop_ids = loaded.stop_ids
        if not stop_ids:
            raise ModelError(
                f"{loaded.info.id}: it has no token that ends an answer", hint="ask for any text"
            )
        head = loaded.model.get_output_embeddings()
        self._size, self._device = len(head.weight), head.weight.device
        self._stop_ids, self._taken, self._ended = stop_ids, 0, False
        tokens = _vocabulary(loaded.tokenizer, self._size, tuple(sorted(stop_ids)), loaded.info.id)
        self._matcher = LLMatcher(tokens, grammar, log_level=0)
        self._require_sound()

    def allowed(self) -> Tensor:
        """Which tokens may come next, bool [1, vocabulary]. Raises ResourceError for a grammar that grew too large."""
        bits = np.frombuffer(self._ends() if self._is_over() else self._matcher.compute_bitmask(), np.uint8)
        self._require_sound()
        mask = torch.from_numpy(np.unpackbits(bits, bitorder="little", count=self._size).view(np.bool_))
        if self._device.type == "cuda":  # so that the copy does not wait for the device
            mask = mask.pin_memory()
        return mask.to(self._device, non_blocking=True)[None]

    def take(self, token_id: int) -> None:
        """The token that came."""
        self._taken += 1
        if token_id in self._stop_ids:
            self._ended = True
        elif not self._ended:
            self._matcher.consume_token(token_id)
            self._require_sound()

    def completed_by(self, ids: Sequence[int]) -> bool:
        """Whether these tokens, all of the answer, leave nothing to say: an end token would be all that may follow."""
        for token_id in ids[self._taken :]:
            self.take(token_id)
        return self._is_over()

    def _is_over(self) -> bool:
        return self._ended or self._matcher.is_stopped()

    def _ends(self) -> bytes:
        mask = np.zeros(self._size, np.uint8)
        mask[sorted(self._stop_ids)] = 1
        return np.packbits(mask, bitorder="little").tobytes()

    def _require_sound(self) -> None:
        if self._matcher.is_error():
            raise ResourceError(
                f"the answer cannot be held to its form: {' '.join(self._matcher.get_error().split())}",
                hint="ask for a simpler one",
            )


@lru_cache(maxsize=2)  # it takes a second for a large vocabulary
def _vocabulary(tokenizer: Any, size: int, stop_ids: Collection[int], name: str) -> LLTokenizer:
    from llguidance.hf import from_tokenizer

    try:
        return from_tokenizer(tokenizer, n_vocab=max(size, len(tokenizer)), eos_token=list(stop_ids))
    except ValueError as error:
        raise ModelError(
            f"{name}: its tokenizer cannot be held to a form: {error}",
            hint="ask for any text, or for choices",
        ) from error
