"""How many tokens a text has, in time that its length explains."""

from __future__ import annotations

from time import thread_time
from typing import TYPE_CHECKING

from sharpv_cli.errors import ModelError
from sharpv_cli.models.blame import Using

if TYPE_CHECKING:
    from sharpv_cli.models.loading import LoadedModel

_FIRST = 64  # characters
_SLOW_SEC = 1.0  # of CPU; usual tokenizers take a second for a million characters


def count_tokens(loaded: LoadedModel, text: str) -> int:
    """Raises ModelError where the tokenizer takes far too long for a part of it.

    A tokenizer.json has regular expressions, which anybody can write so that their time grows with a power of the
    text's length, and nothing ends them. So it gets the beginnings of the text, each twice as long as the one before.
    """
    length = _FIRST
    with Using("tokenizer", loaded.info.id):
        while length < len(text):
            began = thread_time()
            loaded.tokenizer(text[:length])
            if (took := thread_time() - began) > _SLOW_SEC:
                raise ModelError(
                    f"{loaded.info.id}: its tokenizer takes {took:.1f} s for {length} characters of text",
                    hint="look at the patterns in its tokenizer.json, or take that of another checkpoint",
                )
            length *= 2
        return len(loaded.tokenizer(text)["input_ids"])
