"""Tokenizing thousands of equal placeholders in a row takes milliseconds of a prompt: here one is read for all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch

_CHECK = "_check_special_mm_tokens"
_AT_A_TIME = 64


@contextmanager
def runs_read_once(processor: Any) -> Iterator[None]:
    """While open, the processor's tokenizer reads a run of one placeholder as a single one, and repeats its id.

    The ids are the same: placeholders are special tokens, which never merge with what stands beside them. So the
    processor need not count them again, which takes a quarter of a second of an hour's; it does to find truncation.
    """
    tokenizer = processor.tokenizer
    words = {getattr(processor, name, None) for name in ("video_token", "image_token")}
    processor.tokenizer = _RunTokenizer(tokenizer, [word for word in words if isinstance(word, str) and word])
    processor.__dict__[_CHECK] = lambda *_, **__: None
    try:
        yield
    finally:
        processor.tokenizer = tokenizer
        del processor.__dict__[_CHECK]


class _RunTokenizer:
    """A tokenizer as processors call it: a prompt in, its ids and masks out. All else is the real one's."""

    def __init__(self, tokenizer: Any, words: list[str]) -> None:
        self._tokenizer = tokenizer
        self._ids = {tokenizer.convert_tokens_to_ids(word): word for word in words}
        self._run = re.compile("|".join(map(_run_of, words)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __len__(self) -> int:
        return len(self._tokenizer)

    def __call__(self, text: Any, **kwargs: Any) -> Any:
        one_prompt = isinstance(text, list) and len(text) == 1 and isinstance(text[0], str)
        if not (one_prompt and self._ids) or kwargs.get("return_offsets_mapping"):
            return self._tokenizer(text, **kwargs)
        kind = kwargs.pop("return_tensors", None)
        lengths: list[int] = []
        encoded = self._tokenizer([self._run.sub(partial(self._first, lengths), text[0])], **kwargs)
        times = self._repeats(encoded["input_ids"][0], lengths)
        for name, rows in encoded.items():
            # As a tensor at once: transformers looks through long lists number by number. PyTorch's own repeating wakes
            # threads on all cores for it, which beside others takes milliseconds.
            whole = torch.from_numpy(np.repeat(rows[0], times))[None]
            encoded[name] = whole if kind == "pt" else whole.tolist()
        return encoded

    def _first(self, lengths: list[int], run: re.Match[str]) -> str:
        lengths.append(run.end() - run.start())
        return next(word for word in self._ids.values() if run.string.startswith(word, run.start()))

    def _repeats(self, ids: list[int], lengths: list[int]) -> list[int]:
        """How often each id stands in the whole text; `lengths` are those of the runs, in characters."""
        runs = iter(lengths)
        return [next(runs) // len(self._ids[token]) if token in self._ids else 1 for token in ids]


def _run_of(word: str) -> str:
    """Matches a run of it; many at a time, in a fifth of the time."""
    return f"(?:{re.escape(word * _AT_A_TIME)})*(?:{re.escape(word)})+"
