"""Text as it comes."""

from __future__ import annotations

import pytest
import torch
from tiny_model import loaded

from sharpv_cli.models.streaming import TextStream

TEXTS = [
    "A red square moves.",
    "Grüße, naïve café",
    "日本語と🎬 in one",
    " leading and trailing \n",
    "",
    "👩‍👩‍👧",
]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_text_and_none_holds_half_a_character(text: str) -> None:
    tokenizer = loaded().tokenizer
    stream = TextStream(tokenizer)

    pieces = [stream.push(token) for token in tokenizer.encode(text)] + [stream.finish()]

    assert "".join(pieces) == stream.text == text.lstrip()
    assert not any("\ufffd" in piece for piece in pieces)


def test_text_comes_before_the_end() -> None:
    tokenizer = loaded().tokenizer
    stream = TextStream(tokenizer)

    for token in tokenizer.encode("A red square moves from the left"):
        stream.push(token)

    assert stream.text.startswith("A red square moves from")


def test_a_character_that_never_ends_is_shown_as_such_at_the_end() -> None:
    tokenizer = loaded().tokenizer
    ids = tokenizer.encode("ok 🎬")[:-1]
    stream = TextStream(tokenizer)

    pieces = [stream.push(token) for token in ids]

    assert "\ufffd" not in "".join(pieces)
    assert stream.finish().strip("\ufffd ") == ""
    assert stream.text == tokenizer.decode(ids)


def test_special_tokens_are_left_out() -> None:
    tokenizer = loaded().tokenizer
    stream = TextStream(tokenizer)

    for token in [1, *tokenizer.encode("red"), 0, *tokenizer.encode(" left"), 2]:
        stream.push(token)
    stream.finish()

    assert stream.text == "red left"


def test_random_ids_join_to_the_whole_decoding() -> None:
    tokenizer = loaded().tokenizer
    for seed in range(30):
        ids = torch.randint(5, len(tokenizer), (40,), generator=torch.Generator().manual_seed(seed)).tolist()
        stream = TextStream(tokenizer)
        pieces = [stream.push(token) for token in ids] + [stream.finish()]
        assert "".join(pieces) == tokenizer.decode(ids, skip_special_tokens=True).lstrip()


@pytest.mark.parametrize(
    "text", ["A red square. It moves.", "A red square.", " .", "no end", "a.. b. c", "rot. ro. rote"]
)
@pytest.mark.parametrize("stop", [".", ". ", ". It", "red square", "rote", "ote!"])
def test_the_text_ends_before_a_stop_and_nothing_of_it_ever_shows(text: str, stop: str) -> None:
    tokenizer = loaded().tokenizer
    stream, pieces = TextStream(tokenizer, stop), []

    for token in tokenizer.encode(text):
        pieces.append(stream.push(token))
        if stream.stopped:
            break
    pieces.append(stream.finish())

    want, found, _ = text.lstrip().partition(stop)
    assert "".join(pieces) == stream.text == want
    assert stream.stopped == bool(found)
