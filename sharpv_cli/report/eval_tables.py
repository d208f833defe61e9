"""The tables of an evaluation as texts, for every form of its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sharpv_cli.report.sizes import format_seconds
from sharpv_cli.types import Evaluation, GroupScore, Interval, MethodScore


@dataclass(frozen=True, slots=True)
class EvalTable:
    """A heading, a head a column, and rows of texts."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def methods_table(evaluation: Evaluation, dash: str) -> EvalTable:
    """One row a method: how often it was right, the difference to the baseline, both budgets, time."""
    heads = (
        "method", "right %", "95 %", f"vs {evaluation.baseline}", "95 % of that",
        "visual retention %", "KV retention %", "layers discarded", "prune", "prefill", "TPOT",
    )  # fmt: skip
    return EvalTable("", heads, tuple(_method_row(score, dash) for score in evaluation.scores))


def _method_row(score: MethodScore, dash: str) -> tuple[str, ...]:
    paired = score.difference_interval
    return (
        score.method,
        percent(score.accuracy),
        span(score.interval, dash),
        "" if score.difference is None else signed(score.difference),
        "" if paired is None else f"{signed(paired.low)} to {signed(paired.high)}",
        percent(score.visual_retention),
        percent(score.kv_retention),
        f"{score.layers_discarded:.1f}",
        format_seconds(score.prune_sec),
        format_seconds(score.prefill_sec),
        "" if score.tpot_sec is None else format_seconds(score.tpot_sec),
    )


def breakdowns(evaluation: Evaluation) -> Iterator[EvalTable]:
    """Right answers by type and by answer length, and the similarity by layer; methods stand side by side."""
    if not evaluation.scores:
        return
    yield _groups(evaluation, "right answers by type (%)", lambda score: score.groups)
    lengths = f"right answers by the length of {evaluation.baseline}'s answer (%)"
    yield _groups(evaluation, lengths, lambda score: score.lengths)
    if (layers := _layers(evaluation)) is not None:
        yield layers


def _groups(
    evaluation: Evaluation, title: str, of: Callable[[MethodScore], tuple[GroupScore, ...]]
) -> EvalTable:
    scores = evaluation.scores
    rows = tuple(
        (group.name, str(group.questions), *(percent(of(score)[index].accuracy) for score in scores))
        for index, group in enumerate(of(scores[0]))
    )
    return EvalTable(title, ("", "questions", *(score.method for score in scores)), rows)


def _layers(evaluation: Evaluation) -> EvalTable | None:
    measured = [score for score in evaluation.scores if score.similarities]
    if not measured:
        return None
    layers = zip(*(score.similarities for score in measured), strict=True)
    rows = tuple(
        (str(layer), *("" if value is None else f"{value:.3f}" for value in values))
        for layer, values in enumerate(layers)
    )
    return EvalTable("mean similarity by layer", ("layer", *(score.method for score in measured)), rows)


def facts(evaluation: Evaluation) -> tuple[tuple[str, str], ...]:
    """What was compared with what."""
    return (
        ("dataset", evaluation.dataset),
        ("questions", f"{_of(evaluation)}, about {evaluation.videos} videos"),
        ("model", f"{evaluation.model} on {evaluation.device}"),
        ("score", _SCORES[evaluation.score]),
        ("budgets", _budgets(evaluation.match)),
    )


_TOLERANCE = 0.005  # a share of the visual tokens: rounding to whole ones
_SCORES = {
    "exact": "the generated answer is compared with the right one",
    "likelihood": "the likeliest of a question's choices is its answer; nothing is generated",
}
_BUDGETS = {
    "sharpv": "others keep as many visual tokens of each clip as SharpV",
    "sharpv:kv": "others keep as many visual KV entries as SharpV after the prefill",
}


def _budgets(match: str) -> str:
    kind, _, amount = match.partition(":")
    if match in _BUDGETS:
        return _BUDGETS[match]
    if kind == "tokens":
        return f"{amount} visual tokens a clip for every method but dense, SharpV by its scale"
    if kind == "all":
        return f"a share of {amount} for every method but dense, SharpV by its scale"
    return f"a share of {match} for all others"


def _of(evaluation: Evaluation) -> str:
    if evaluation.questions == evaluation.asked:
        return f"{evaluation.questions}"
    return f"{evaluation.questions} of {evaluation.asked}, those that every method answered"


def notes(evaluation: Evaluation) -> tuple[str, ...]:
    """How to read the table, and what is not as fair as it should be."""
    reading = (
        "95 %: Wilson's interval, as if questions about one video were independent; "
        f"vs {evaluation.baseline}: points of accuracy, paired by question, bootstrap over videos. Prune and prefill "
        "(with the first token) are medians, of the language model's side only: the vision is the same for all. TPOT "
        "includes whatever shares the steps (with --batch-size 1, nothing). The first token never depends on Memory "
        "SharpV: only longer answers can show its cost."
    )
    return (
        reading,
        *_nothing_pruned(evaluation),
        *_fewer_frames(evaluation),
        *_over_budget(evaluation),
        *_engines(evaluation),
    )


def _nothing_pruned(evaluation: Evaluation) -> Iterator[str]:
    if names := evaluation.pruned_nothing:
        yield f"Pruned nothing, so that it says nothing about pruning: {', '.join(names)}."


def _fewer_frames(evaluation: Evaluation) -> Iterator[str]:
    """What it got, since frames are whole."""
    for score in evaluation.scores:
        if score.fewer_frames and score.frames is not None:
            yield (
                f"{score.method}: whole frames, rounded up to the budget and at least one, {score.frames:.1f} a clip "
                f"on average: {percent(score.visual_retention)} % of the visual tokens for "
                f"{percent(score.budget or 0.0)} %."
            )


def _over_budget(evaluation: Evaluation) -> Iterator[str]:
    """Some methods cannot go as low as the budget."""
    kv = evaluation.match == "sharpv:kv"
    over = []
    for score in evaluation.scores:
        # FastV lets all visual tokens in: what it is measured by are the KV entries that stay.
        kept = score.kv_retention if kv or score.visual_retention == 1.0 else score.visual_retention
        if score.budget is not None and kept > score.budget + _TOLERANCE and not score.fewer_frames:
            over.append(f"{score.method} ({percent(kept)} % for {percent(score.budget)} %)")
    if over:
        yield f"Not at the budget, below which they cannot go: {', '.join(over)}."


def _engines(evaluation: Evaluation) -> Iterator[str]:
    """Times of different engines do not compare."""
    engines = {score.engine for score in evaluation.scores}
    if len(engines) > 1:
        told = ", ".join(f"{score.method} {score.engine}" for score in evaluation.scores)
        yield f"Engines, whose times do not compare: {told}."


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def signed(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def span(interval: Interval, dash: str) -> str:
    return f"{percent(interval.low)}{dash}{percent(interval.high)}"
