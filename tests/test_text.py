"""Foreign text as it may be printed."""

from __future__ import annotations

import os
from pathlib import Path

from sharpv_cli.text import printable, shortened, shown


def test_printable_escapes_only_what_does_harm() -> None:
    assert printable("naïve 円 🙂 [red] :smile: שלום") == "naïve 円 🙂 [red] :smile: שלום"
    assert printable("a\x1b\x00\x9b\ud800\u2028\u202e\u2066\ufffe") == (
        "a\\x1b\\x00\\x9b\\ud800\\u2028\\u202e\\u2066\\ufffe"
    )
    assert printable("円", ascii_only=True) == "\\u5186"


def test_shown_spells_bytes_that_are_no_text() -> None:
    assert shown(Path(os.fsdecode(b"caf\xe9\n.mp4"))) == "caf\\xe9\\n.mp4"
    assert shown("a\ud800") == "a\\ud800"


def test_shortened_keeps_both_ends_and_says_what_is_gone() -> None:
    assert shortened("x" * 1000) == "x" * 1000
    text = shortened("/" + "x" * 5000 + ": no such folder")
    assert text.startswith("/xxx")
    assert " [4017 characters left out] " in text
    assert text.endswith("xxx: no such folder")
