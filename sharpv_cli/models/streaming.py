"""Token ids to text as they come, without ever showing half a character."""

from __future__ import annotations

from typing import Any

from tokenizers.decoders import DecodeStream


class TextStream:
    """Incremental detokenisation; the pieces join to the text of all ids, special tokens left out.

    White space before the first word is left out: it belongs to the prompt, and would break `grep -x`.
    """

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
        return self._add(self._stream.step(self._tokenizer, token_id) or "")

    def finish(self) -> str:
        """What is left: a character whose last bytes never came is shown as U+FFFD."""
        whole: str = self._tokenizer.decode(self._ids, skip_special_tokens=True).lstrip()
        return self._add(whole[len(self._text) :] if whole.startswith(self._text) else "")

    def _add(self, piece: str) -> str:
        if not self._text:
            piece = piece.lstrip()
        self._text += piece
        return piece
