"""The figures of a clip's profile as Markdown tables, for issues and READMEs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sharpv_cli.report import engine_figures
from sharpv_cli.report import profile_figures as figures
from sharpv_cli.report import profile_numbers as numbers
from sharpv_cli.report.figures import Fact, clock_of, frame_rows, verdict
from sharpv_cli.report.markdown import cell, fenced, table
from sharpv_cli.report.profile_figures import Cell, Row
from sharpv_cli.report.sizes import format_bytes, format_percent, format_seconds
from sharpv_cli.report.sweep_figures import Sweep, sweeps
from sharpv_cli.types import ClipProfile, MethodProfile
from sharpv_cli.types.profile import method_label

_DASH = "–"


def profile_markdown(profile: ClipProfile) -> str:
    """All that ProfileChart shows as Markdown, ended by a newline."""
    return "\n\n".join(_blocks(profile)) + "\n"


def _blocks(profile: ClipProfile) -> Iterator[str]:
    facts = (*figures.heading_facts(profile), *figures.machine_facts(profile))
    yield table(("what", "value"), "ll", [(fact.label, cell(fact.value)) for fact in facts])
    if profile.methods:
        yield _methods(profile)
        yield f"_{figures.caption(profile, _DASH)}_"
        yield from _answers(profile)
    if (pruned := numbers.pruned_method(profile)) is not None:
        yield f"**Visual retention by frame** ({method_label(pruned.method)})\n\n{_frames(pruned)}"
    if (discarding := numbers.discarding_method(profile)) is not None:
        yield _layers(discarding, profile.m)
    if stages := _stages(profile):
        yield f"**Time by stage** ({numbers.shown_run(profile)})\n\n{stages}"
    yield from _engines(profile)
    for sweep in sweeps(profile):
        yield f"**{sweep.title.capitalize()}**\n\n{_sweep(sweep)}"
        yield from _reasons(sweep.failures)


def _methods(profile: ClipProfile) -> str:
    return _beside(
        [method_label(method.method) for method in profile.methods], figures.groups(profile, _DASH)
    )


def _beside(names: Sequence[str], groups: Sequence[Sequence[Row]]) -> str:
    rows = [(row.label, *(_text(item) for item in row.cells)) for group in groups for row in group]
    return table(("", *names), "l" + "r" * len(names), rows)


def _text(item: Cell) -> str:
    span = f"({item.span})" if item.span else ""
    return " ".join(part for part in (item.value, span, item.ratio) if part)


def _answers(profile: ClipProfile) -> Iterator[str]:
    for method in profile.methods:
        same = numbers.agrees(profile, method)
        if method.method == "dense" or same is None:
            yield f"**Answer** ({method_label(method.method)})\n\n{fenced(method.answer.text)}"
        elif same:
            yield f"**Answer** ({method_label(method.method)}): same as dense"
        else:
            yield f"**Answer** ({method_label(method.method)}): differs\n\n{fenced(method.answer.text)}"


def _frames(method: MethodProfile) -> str:
    clock = clock_of(method.answer)
    rows = (
        (row.time(clock, _DASH), f"{row.kept}/{row.total}", format_percent(row.ratio))
        for row in frame_rows(method.answer.retention)
    )
    return table(("time", "visual tokens kept", "percent"), "lrr", rows)


def _layers(method: MethodProfile, m: float | None) -> str:
    layers = method.answer.layers
    rows = [
        (f"{layer.layer}", similarity, verdict(layer), format_bytes(layer.kv_bytes))
        for layer, similarity in zip(layers, figures.similarity_texts(layers, m), strict=True)
    ]
    total = ("all", "", "", format_bytes(method.answer.memory.kv_bytes))
    threshold = "" if m is None else f", M = {m:.2f}"
    body = table(("layer", "similarity", "visual KV", "KV bytes"), "rrlr", [*rows, total])
    return f"**Similarity by layer** ({method_label(method.method)}{threshold})\n\n{body}"


def _stages(profile: ClipProfile) -> str:
    timed = numbers.stage_rows(profile)
    rows = [(name, *map(format_seconds, (*parts, sum(parts)))) for name, parts in timed]
    return (
        table(("", *numbers.PARTS, "end to end"), "l" + "r" * (len(numbers.PARTS) + 1), rows) if rows else ""
    )


def _engines(profile: ClipProfile) -> Iterator[str]:
    for shown in engine_figures.tables(profile, _DASH):
        yield f"**{shown.title.capitalize()}**\n\n{_beside(shown.names, shown.groups)}"
        yield from _reasons(shown.failures)
    if profile.engines:
        yield f"_{engine_figures.caption(profile)}_"


def _reasons(facts: Iterable[Fact]) -> Iterator[str]:
    """Why something was not measured."""
    lines = [f"- {fact.label}: {cell(fact.value)}" for fact in facts]
    if lines:
        yield "\n".join(lines)


def _sweep(sweep: Sweep) -> str:
    *columns, (answer, texts) = sweep.columns
    rows = zip(sweep.values, *(cells for _, cells in columns), map(cell, texts), strict=True)
    heads = (sweep.key, *(head for head, _ in columns), answer)
    return table(heads, "r" * (len(columns) + 1) + "l", rows)
