"""Token ids to text as they come, without ever showing half a character."""

from __future__ import annotations

from typing import Any

from tokenizers.decoders import DecodeStream


class TextStream:
    """Incremental detokenisation; the pieces join to the text of all ids, special tokens left out.

    White space before the first word is left out, unless the text is wanted `whole`: it belongs to the prompt, and
    would break `grep -x`. The text ends before `stop`, if that comes: `stopped` says so, and what may be the beginning
    of it is held back until it is not.
    """

    def __init__(self, tokenizer: Any, stop: str | None = None, *, whole: bool = False) -> None:
        self._tokenizer = tokenizer.backend_tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._text = ""
        self._stop = stop
        self._whole = whole
        self._held = ""
        self.stopped = False

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
        decoded: str = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        whole = decoded if self._whole else decoded.lstrip()
        before = self._text + self._held
        piece = self._add(whole[len(before) :] if whole.startswith(before) else "")
        held, self._held = self._held, ""
        self._text += held
        return piece + held

    def _add(self, piece: str) -> str:
        if not (self._text or self._held or self._whole):
            piece = piece.lstrip()
        piece = self._before_stop(self._held + piece)
        self._text += piece
        return piece

    def _before_stop(self, text: str) -> str:
        """What of `text` comes for sure before the stop; the rest is held back, or dropped from the stop on."""
        if self._stop is None or self.stopped:
            return "" if self.stopped else text
        before, found, _ = text.partition(self._stop)
        if found:
            self.stopped, self._held = True, ""
            return before
        held = next(
            n for n in range(min(len(self._stop) - 1, len(text)), -1, -1) if text.endswith(self._stop[:n])
        )
        self._held = text[len(text) - held :]
        return text[: len(text) - held]
