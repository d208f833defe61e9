"""`--match`: how much each method may keep, so that all are compared at the same budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sharpv_cli.errors import UsageError

BudgetKind = Literal["visual", "kv", "ratio", "tokens", "all"]
_HINT = (
    "for example sharpv (the same visual tokens), sharpv:kv (the same KV entries), a ratio such as 0.25, or of all "
    "methods, SharpV's as well, tokens:512 or all:0.1"
)
_MOST_TOKENS = 10**9


@dataclass(frozen=True, slots=True)
class Match:
    """`visual`: as many visual tokens as SharpV keeps of the same clip; `kv`: as many that the KV cache holds as much
    after the prefill as with SharpV; `ratio`: this share of every clip's visual tokens. `tokens` and `all` hold for
    SharpV's own methods as well, whose scale is found for each clip: so many visual tokens, or this share of them.
    """

    kind: BudgetKind
    ratio: float | None = None
    tokens: int | None = None

    def __str__(self) -> str:
        match self.kind:
            case "visual":
                return "sharpv"
            case "kv":
                return "sharpv:kv"
            case "tokens":
                return f"tokens:{self.tokens}"
        return f"{'all:' if self.kind == 'all' else ''}{self.ratio:g}"

    @property
    def holds_for_sharpv(self) -> bool:
        return self.kind in ("tokens", "all")

    def total(self, of: int, kv_retention: float | None) -> int:
        """How many of a clip's `of` visual tokens may stay, by anything but SharpV's own count. Raises UsageError."""
        if self.tokens is not None:
            return min(self.tokens, of)
        ratio = kv_retention if self.kind == "kv" else self.ratio
        if ratio is None:
            raise UsageError("SharpV has no answer to this question, so there is no budget to match")
        return max(1, round(ratio * of))


def read_match(given: str) -> Match:
    """Raises UsageError."""
    if given in ("sharpv", "sharpv:visual"):
        return Match("visual")
    if given == "sharpv:kv":
        return Match("kv")
    if given.startswith("tokens:"):
        return Match("tokens", tokens=_tokens(given))
    kind: BudgetKind = "all" if given.startswith("all:") else "ratio"
    return Match(kind, _ratio(given))


def _tokens(given: str) -> int:
    count = given.removeprefix("tokens:")
    if not (count.isascii() and count.isdigit() and 0 < int(count) < _MOST_TOKENS):
        raise UsageError(f"--match {given}: tokens are a whole number above 0", hint=_HINT)
    return int(count)


def _ratio(given: str) -> float:
    try:
        ratio = float(given.removeprefix("all:"))
    except ValueError:
        raise UsageError(f"--match {given}: not known", hint=_HINT) from None
    if not 0 < ratio <= 1:
        raise UsageError(f"--match {given}: a ratio lies above 0 and is at most 1", hint=_HINT)
    return ratio


def spread(counts: list[int], total: int, most: int) -> list[int]:
    """`total` tokens over frames in proportion to `counts`, at most `most` a frame, by largest remainders.

    Where a frame is full the rest goes to the others; nothing is lost as long as `total` <= frames * `most`.
    """
    assert 0 <= total <= most * len(counts), (total, most, len(counts))
    weights = [max(count, 0) for count in counts]
    if not any(weights):
        weights = [1] * len(counts)
    shares = [total * weight / sum(weights) for weight in weights]
    whole = [min(most, int(share)) for share in shares]
    order = sorted(range(len(counts)), key=lambda frame: (whole[frame] - shares[frame], frame))
    left = total - sum(whole)
    while left:
        for frame in order:
            if left and whole[frame] < most:
                whole[frame] += 1
                left -= 1
    return whole
