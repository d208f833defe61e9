"""An answer that is one of some choices: how likely the model is to begin with each of them.

The choices are the leaves of one trie, so that no answer begins with two of them: where one is the beginning of
another, the answer has to end behind it. So their probabilities are those of events that exclude each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, fsum, log
from typing import Self

from sharpv_cli.engine.engine import Continuation, Prefill
from sharpv_cli.errors import UsageError
from sharpv_cli.models.answers import answer_ids
from sharpv_cli.pipeline.clip import Clip, Kept
from sharpv_cli.types import Choice, Form


@dataclass(frozen=True, slots=True)
class Scored:
    """A way to write a choice, and the logarithm of the probability of each token, and of the end where it ends."""

    choice: int
    leaf: Continuation
    logprobs: tuple[float, ...]

    @property
    def whole(self) -> float:
        return min(0.0, fsum(self.logprobs))  # rounding

    @property
    def by_length(self) -> float:
        return self.whole / len(self.logprobs)


@dataclass(frozen=True, slots=True)
class Contest:
    """The choices of one question; `leaves` are ways to write them, each with the number of its choice."""

    choices: tuple[str, ...]
    leaves: tuple[tuple[int, Continuation], ...]

    @classmethod
    def of(cls, kept: Kept, form: Form) -> Self:
        """Raises UsageError for a choice that the model cannot write, or writes as another one, or is too long."""
        clip, written = kept.encoded.clip, dict[tuple[int, ...], int]()
        for number, choice in enumerate(form.choices):
            ids = answer_ids(clip.loaded, kept.prompt.input_ids, choice)
            _check(clip, choice, ids, written)
            written[ids] = number
        for ids, number in tuple(written.items() if form.any_case else ()):
            other = answer_ids(clip.loaded, kept.prompt.input_ids, form.choices[number].capitalize())
            if len(other) <= len(ids):  # a word that has to be spelt out is none that a model says
                written.setdefault(other, number)
        leaves = (
            (number, Continuation(ids, _begins_another(ids, written))) for ids, number in written.items()
        )
        contest = cls(form.choices, tuple(leaves))
        if any(leaf.ends for _, leaf in contest.leaves) and not clip.loaded.stop_ids:
            raise UsageError(
                "one choice is the beginning of another, and the model has no token that ends an answer",
                hint="choose other words",
            )
        return contest

    def held(self, clip: Clip, start: Prefill) -> tuple[tuple[Choice, ...], Scored]:
        """The choices in their order, and how the likeliest of them, by whole texts, is written best."""
        values = clip.engine.score(start, [leaf for _, leaf in self.leaves], clip.loaded.stop_ids)
        scored = [Scored(n, leaf, tuple(v)) for (n, leaf), v in zip(self.leaves, values, strict=True)]
        choices = tuple(self._weighed(scored))
        winner = max(range(len(choices)), key=lambda number: choices[number].probability)
        return choices, max((one for one in scored if one.choice == winner), key=lambda one: one.whole)

    def _weighed(self, scored: Sequence[Scored]) -> Iterator[Choice]:
        ways = [[one for one in scored if one.choice == number] for number in range(len(self.choices))]
        whole = [_sum_of([one.whole for one in each]) for each in ways]
        by_length = [max(one.by_length for one in each) for each in ways]
        return map(Choice, self.choices, _shares(whole), _shares(by_length), whole)


def _check(clip: Clip, choice: str, ids: tuple[int, ...], others: dict[tuple[int, ...], int]) -> None:
    if len(ids) > clip.limit:
        raise UsageError(
            f"the choice {choice!r} has {len(ids)} tokens, and an answer has at most {clip.limit}",
            hint="raise --max-new-tokens",
        )
    if ids in others:
        raise UsageError(
            f"the model writes {choice!r} as it writes another choice", hint="leave one of them out"
        )


def _begins_another(ids: tuple[int, ...], written: dict[tuple[int, ...], int]) -> bool:
    return any(len(other) > len(ids) and other[: len(ids)] == ids for other in written)


def _sum_of(logs: Sequence[float]) -> float:
    """The logarithm of the sum of what these are logarithms of."""
    largest = max(logs)
    return largest + log(fsum(exp(value - largest) for value in logs))


def _shares(logs: Sequence[float]) -> list[float]:
    """Probabilities that sum to 1, in the proportions of what these are logarithms of."""
    whole = _sum_of(logs)
    return [exp(value - whole) for value in logs]
