"""A text as the tokens of an answer."""

from __future__ import annotations

import unicodedata

from torch import Tensor

from sharpv_cli.errors import UsageError
from sharpv_cli.models.blame import Using
from sharpv_cli.models.loading import LoadedModel


def answer_ids(loaded: LoadedModel, prompt: Tensor, text: str) -> tuple[int, ...]:
    """The tokens of `text` as a model would answer it behind a prompt, int64 [1, P]. Raises UsageError where it cannot.

    A word that follows a word or a colon begins with a space, which the text of an answer leaves out; at the beginning
    of a line, or behind a special token, it does not.
    """
    tokenizer, last = loaded.tokenizer, int(prompt[0, -1])
    with Using("tokenizer", loaded.info.id):
        before = "" if last in tokenizer.all_special_ids else tokenizer.decode([last])
        space = "" if not before or before[-1].isspace() else " "
        whole, head = _encoded(loaded, before + space + text), _encoded(loaded, before)
        ids = whole[len(head) :] if whole[: len(head)] == head else _encoded(loaded, text)
        written = tokenizer.backend_tokenizer.decode(list(ids), skip_special_tokens=True)
    if not ids or _plain(written) != _plain(text):
        raise UsageError(f"the model cannot write the choice {text!r}", hint="choose another word for it")
    return ids


def _encoded(loaded: LoadedModel, text: str) -> tuple[int, ...]:
    return tuple(loaded.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else ()


def _plain(text: str) -> str:
    """What tokenizers may write in another way: composed letters, and capitals where they know none."""
    return unicodedata.normalize("NFKC", text).strip().casefold()
