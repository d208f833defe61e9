"""Token ids to text as they come, without ever showing half a character."""

from __future__ import annotations

from typing import Any

from tokenizers.decoders import DecodeStream


class TextStream:
    """Incremental detokenisation; the pieces join to the text of all ids, special tokens left out."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer.backend_tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._text = ""

    @property
    def text(self) -> str:
        """All text so far."""
        return self._text

    def push(self, token_id: int) -> str:
        """The text that this token completes, often a word, "" while a character is still open."""
        self._ids.append(token_id)
        piece = self._stream.step(self._tokenizer, token_id) or ""
        self._text += piece
        return piece

    def finish(self) -> str:
        """What is left: a character whose last bytes never came is shown as U+FFFD."""
        whole: str = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        tail = whole[len(self._text) :] if whole.startswith(self._text) else ""
        self._text += tail
        return tail
