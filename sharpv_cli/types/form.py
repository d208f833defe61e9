"""What an answer has to look like."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Form:
    """By default any text. `sharpv_cli.forms` makes others, and checks them.

    `choices`: one of these texts; in `any_case` one that begins with a capital counts as well, unless it takes more
    tokens. `grammar`: a text that this grammar of llguidance accepts, and with `is_json` one that is JSON. `logprobs`:
    how likely each token was is told; `scores`: by what numbers visual tokens were kept as well.
    """

    choices: tuple[str, ...] = ()
    any_case: bool = False
    grammar: str | None = None
    is_json: bool = False
    logprobs: bool = False
    scores: bool = False

    def __post_init__(self) -> None:
        assert not (self.choices and self.grammar), "choices need no grammar"
        assert len(self.choices) != 1, self.choices


ANY_TEXT = Form()
YES_OR_NO = Form(choices=("yes", "no"), any_case=True)
