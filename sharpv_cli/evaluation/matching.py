"""`--match`: how much the methods other than SharpV may keep, so that all are compared at the same budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sharpv_cli.errors import UsageError

BudgetKind = Literal["visual", "kv", "ratio"]
_HINT = (
    "for example sharpv (the same visual tokens), sharpv:kv (the same KV entries), or a ratio such as 0.25"
)


@dataclass(frozen=True, slots=True)
class Match:
    """`visual`: as many visual tokens as SharpV keeps of the same clip; `kv`: as many that the KV cache holds as much
    after the prefill as with SharpV; `ratio`: this share of every clip's visual tokens.
    """

    kind: BudgetKind
    ratio: float | None = None

    def __str__(self) -> str:
        if self.ratio is not None:
            return f"{self.ratio:g}"
        return "sharpv" if self.kind == "visual" else "sharpv:kv"


def read_match(given: str) -> Match:
    """Raises UsageError."""
    if given in ("sharpv", "sharpv:visual"):
        return Match("visual")
    if given == "sharpv:kv":
        return Match("kv")
    try:
        ratio = float(given)
    except ValueError:
        raise UsageError(f"--match {given}: not known", hint=_HINT) from None
    if not 0 < ratio <= 1:
        raise UsageError(f"--match {given}: a ratio lies above 0 and is at most 1", hint=_HINT)
    return Match("ratio", ratio)


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
