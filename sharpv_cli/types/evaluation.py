"""What `sharpv eval` found: how often each method was right, at what budget, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval of a share, or of a difference of shares, in [-1, 1]."""

    low: float
    high: float

    def __post_init__(self) -> None:
        assert -1 <= self.low <= self.high <= 1, (self.low, self.high)


@dataclass(frozen=True, slots=True)
class GroupScore:
    """The questions of one type, or with answers of one length, and the share that was right.

    `difference` and its interval are those of a method, over these questions.
    """

    name: str
    questions: int
    accuracy: float
    difference: float | None = None
    difference_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class MethodScore:
    """One method over the questions that every method answered.

    `accuracy` and both retentions are shares; the retentions are means over questions. `difference` is the accuracy
    less the baseline's, paired by question; None for the baseline itself, and its interval also where there are too few
    videos for one. `budget` is the mean share of the visual tokens that the method was to keep, None where it had none;
    `engine` is what ran. `prune_sec`, `prefill_sec` and `tpot_sec` are medians in seconds; `tpot_sec` is None where no
    answer has two tokens. `similarities` is the mean s_l of every decoder layer, None where it was not measured; empty
    where no layer was.

    `pruned_nothing`: it is another method than dense, and kept all that dense keeps and answered what dense answers.
    `fewer_frames`: its budget buys whole frames. `frames`, `visual_tokens` and `kv_bytes` are means of what the
    language model got and held, None where lines of earlier versions do not say it.
    """

    method: str
    accuracy: float
    interval: Interval
    difference: float | None
    difference_interval: Interval | None
    visual_retention: float
    kv_retention: float
    budget: float | None
    layers_discarded: float
    engine: str
    prune_sec: float
    prefill_sec: float
    tpot_sec: float | None
    groups: tuple[GroupScore, ...]
    lengths: tuple[GroupScore, ...]
    similarities: tuple[float | None, ...]
    pruned_nothing: bool = False
    fewer_frames: bool = False
    frames: float | None = None
    visual_tokens: float | None = None
    kv_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class EvalFailure:
    """What was not evaluated. `place` is a question's id or a file and line, `method` None where it is all methods."""

    place: str
    method: str | None
    error: str
    hint: str | None
    exit_code: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A comparison, complete or so far. `questions` of `asked` were answered by every method; `videos` they are about.

    Methods without any answer are left out of `scores`. `match` says how much the methods other than SharpV may keep,
    `baseline` names the method that differences are to; `warnings` that came with answers, each with how many. `score`
    is "exact" where generated answers are compared, "likelihood" where the likeliest choice is the answer.
    """

    dataset: str
    model: str
    device: str
    questions: int
    asked: int
    videos: int
    match: str
    baseline: str
    scores: tuple[MethodScore, ...]
    failures: tuple[EvalFailure, ...]
    warnings: tuple[tuple[str, int], ...] = ()
    interrupted: bool = False
    score: str = "exact"

    @property
    def pruned_nothing(self) -> tuple[str, ...]:
        """The methods that did not do what they are compared for."""
        return tuple(score.method for score in self.scores if score.pruned_nothing)
