"""From outcomes to a comparison: shares, intervals, budgets, times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from sharpv_cli.evaluation.datasets.dataset import Dataset, Item
from sharpv_cli.evaluation.methods import DENSE, FEWER_FRAMES, name_of
from sharpv_cli.evaluation.results import Done, Missed, Outcome
from sharpv_cli.evaluation.statistics import paired_bootstrap, wilson
from sharpv_cli.types import EvalFailure, Evaluation, GroupScore, Interval, MethodScore

# Only answers of more than one token can show what Memory SharpV costs, and long ones show it best.
_LENGTHS: tuple[tuple[str, int, float], ...] = (
    ("1-2 tokens", 0, 2),
    ("3-5 tokens", 3, 5),
    ("6-15 tokens", 6, 15),
    ("over 15 tokens", 16, float("inf")),
)

_FEWEST_VIDEOS = 10


@dataclass(frozen=True, slots=True)
class About:
    """What a comparison was made with, for the report."""

    model: str
    device: str
    match: str
    baseline: str
    score: str = "exact"


def summarize(
    dataset: Dataset,
    labels: Sequence[str],
    done: Done,
    missed: Sequence[Missed],
    about: About,
    *,
    interrupted: bool = False,
) -> Evaluation:
    """The comparison so far, over the questions that all methods `labels` answered: so it is fair.

    Methods that answered nothing are left out; where the baseline is one of them, the first of the others is in its
    place.
    """
    able = [label for label in labels if any((item.id, label) in done for item in dataset.items)]
    baseline = about.baseline if about.baseline in able or not able else able[0]
    common = [item for item in dataset.items if all((item.id, label) in done for label in able)]
    mine = {label: [done[item.id, label] for item in common] for label in able}
    return Evaluation(
        dataset=dataset.name,
        model=about.model,
        device=about.device,
        questions=len(common),
        asked=len(dataset.items),
        videos=len({item.video for item in common}),
        match=about.match,
        baseline=baseline,
        score=about.score,
        scores=tuple(_score(label, mine, common, baseline) for label in able) if common else (),
        failures=(*_loading_failures(dataset), *_failures(missed, len(labels))),
        warnings=_warnings(mine),
        interrupted=interrupted,
    )


def _score(
    label: str, outcomes: Mapping[str, Sequence[Outcome]], items: Sequence[Item], baseline: str
) -> MethodScore:
    mine, theirs = outcomes[label], outcomes[baseline]
    right = [outcome.right for outcome in mine]
    pairs = [
        _Pair(one.right, other.right, item.video)
        for one, other, item in zip(mine, theirs, items, strict=True)
    ]
    difference, interval = (None, None) if label == baseline else _difference(pairs)
    tpots = [outcome.tpot_sec for outcome in mine if outcome.tpot_sec is not None]
    return MethodScore(
        method=label,
        accuracy=fmean(right),
        interval=wilson(sum(right), len(right)),
        difference=difference,
        difference_interval=interval,
        visual_retention=fmean(outcome.visual_retention for outcome in mine),
        kv_retention=fmean(outcome.kv_retention for outcome in mine),
        budget=_budget(mine),
        engine=", ".join(dict.fromkeys(outcome.engine for outcome in mine)),
        layers_discarded=fmean(outcome.layers_discarded for outcome in mine),
        prune_sec=median(outcome.prune_sec for outcome in mine),
        prefill_sec=median(outcome.prefill_sec for outcome in mine),
        tpot_sec=median(tpots) if tpots else None,
        groups=_groups([item.group for item in items], pairs, paired=label != baseline),
        lengths=_groups(_lengths(theirs), pairs, [name for name, *_ in _LENGTHS], paired=label != baseline),
        similarities=_similarities(mine),
        pruned_nothing=name_of(label) != DENSE and _is_dense(mine, outcomes),
        fewer_frames=name_of(label) == FEWER_FRAMES,
        frames=_mean(outcome.frames for outcome in mine),
        visual_tokens=_mean(outcome.visual_tokens for outcome in mine),
        kv_bytes=_mean(outcome.kv_bytes for outcome in mine),
    )


def _is_dense(mine: Sequence[Outcome], outcomes: Mapping[str, Sequence[Outcome]]) -> bool:
    """Whether every token and KV entry was kept, and no answer is another one than dense's, where those are known."""
    if any(outcome.visual_retention < 1 or outcome.kv_retention < 1 for outcome in mine):
        return False
    dense = next((theirs for label, theirs in outcomes.items() if name_of(label) == DENSE), mine)
    return all(one.answer == other.answer for one, other in zip(mine, dense, strict=True))


def _mean(values: Iterable[int | None]) -> float | None:
    """None where one is not known: lines of earlier versions do not say it."""
    every = list(values)
    known = [value for value in every if value is not None]
    return fmean(known) if len(known) == len(every) else None


@dataclass(frozen=True, slots=True)
class _Pair:
    """Whether a method and the baseline were right about one question, and which video it is about."""

    right: bool
    other: bool
    video: Path


def _difference(pairs: Sequence[_Pair]) -> tuple[float, Interval | None]:
    """No interval for a handful of videos: drawing from so few says nothing about others."""
    ours, theirs = [pair.right for pair in pairs], [pair.other for pair in pairs]
    videos = [pair.video for pair in pairs]
    enough = len(set(videos)) >= _FEWEST_VIDEOS
    return fmean(ours) - fmean(theirs), paired_bootstrap(ours, theirs, videos) if enough else None


def _budget(outcomes: Sequence[Outcome]) -> float | None:
    given = [outcome.budget for outcome in outcomes if outcome.budget is not None]
    return fmean(given) if given else None


def _groups(
    names: Sequence[str], pairs: Sequence[_Pair], order: Iterable[str] | None = None, *, paired: bool
) -> tuple[GroupScore, ...]:
    """One a name, in `order`, or that of first appearance; `paired` with the differences to the baseline."""
    by_name: dict[str, list[_Pair]] = {name: [] for name in (names if order is None else order)}
    for name, pair in zip(names, pairs, strict=True):
        by_name[name].append(pair)
    return tuple(
        GroupScore(
            name, len(mine), fmean(pair.right for pair in mine), *(_difference(mine) if paired else ())
        )
        for name, mine in by_name.items()
        if mine
    )


def _lengths(baseline: Sequence[Outcome]) -> list[str]:
    """By how long the baseline's answer is, so that all methods are counted over the same questions."""
    return [
        next(name for name, low, high in _LENGTHS if low <= outcome.generated <= high) for outcome in baseline
    ]


def _similarities(outcomes: Sequence[Outcome]) -> tuple[float | None, ...]:
    """The mean of every layer over the answers that measured it; nothing where none did."""
    measured = [outcome.similarities for outcome in outcomes if outcome.similarities is not None]
    means = []
    for column in zip(*measured, strict=True):
        known = [value for value in column if value is not None]
        means.append(fmean(known) if known else None)
    return tuple(means)


def _loading_failures(dataset: Dataset) -> Iterable[EvalFailure]:
    hint = "correct it, or leave it out"
    return (EvalFailure(problem.place, None, problem.error, hint, 2) for problem in dataset.problems)


def _failures(missed: Sequence[Missed], methods: int) -> Iterable[EvalFailure]:
    """One a question where all `methods` failed alike, as with a video that cannot be read."""
    alike: dict[tuple[str, str], list[Missed]] = {}
    for one in missed:
        alike.setdefault((one.item, one.error), []).append(one)
    for group in alike.values():
        for one in group[:1] if len(group) == methods else group:
            name = None if len(group) == methods else one.method
            yield EvalFailure(one.item, name, one.error, one.hint, one.exit_code)


def _warnings(outcomes: Mapping[str, Sequence[Outcome]]) -> tuple[tuple[str, int], ...]:
    """The most frequent first; numbers in them differ from clip to clip, so each wording counts for itself."""
    every = (warning for mine in outcomes.values() for outcome in mine for warning in outcome.warnings)
    return tuple(Counter(every).most_common())
