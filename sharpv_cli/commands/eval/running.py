"""What `sharpv eval` does between its options and its report."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sharpv_cli import terminal
from sharpv_cli.commands.eval.source import Source
from sharpv_cli.commands.options import Flags
from sharpv_cli.commands.preparing import batch_size_of, warn_unlocked
from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.matching import read_match
from sharpv_cli.evaluation.methods import DEFAULT_METHODS, SHARPV, read_methods, swept
from sharpv_cli.evaluation.results import Outcome, ResultsFile, item_key, method_digest, open_results
from sharpv_cli.lines.piped import is_stdout
from sharpv_cli.models.identity import checkpoint_identity
from sharpv_cli.session import open_session
from sharpv_cli.settings import decisive, resolve
from sharpv_cli.text import shown
from sharpv_cli.video.local import Limits

if TYPE_CHECKING:
    from sharpv_cli.evaluation.datasets.dataset import Dataset, Score
    from sharpv_cli.evaluation.matching import Match
    from sharpv_cli.evaluation.methods import EvalMethod
    from sharpv_cli.evaluation.results import Missed
    from sharpv_cli.evaluation.running import Run
    from sharpv_cli.lines.appending import Lines
    from sharpv_cli.lines.piped import Piped
    from sharpv_cli.report.exports import Exports
    from sharpv_cli.settings import Resolved, Settings
    from sharpv_cli.types import Evaluation

_MOST_LINES = 20  # of failures on stderr; all are in the results file and in --json
_LONGEST_NAME = 100  # characters of a results file's name that come from the dataset's
_MOST_SHARES = 4  # methods whose accuracy stands beside the progress bar


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared, and how fairly; `batch_size` answers at once, None is as many as there is memory for."""

    methods: tuple[EvalMethod, ...]
    match: Match
    baseline: str
    score: Score
    batch_size: int | None = None

    @property
    def labels(self) -> list[str]:
        return [method.label for method in self.methods]


def read_plan(
    flags: Flags,
    profile: str | None,
    methods: str | None,
    sweeps: Sequence[str],
    match: str,
    baseline: str | None,
    score: Score,
    batch_size: str = "auto",
) -> Plan:
    """Raises UsageError for whatever is not known, is given twice, or does not go together."""

    def settings_for(changed: Mapping[str, object]) -> Settings:
        return resolve({**flags, **changed}, os.environ, profile=profile).settings

    listed = [*read_methods(DEFAULT_METHODS if methods is None else methods, settings_for)]
    for sweep in sweeps:
        listed += swept(sweep, settings_for)
    at_once = batch_size_of(batch_size)
    plan = Plan(tuple(listed), read_match(match), baseline or listed[0].label, score, at_once)
    _check(plan)
    return plan


def _check(plan: Plan) -> None:
    labels = plan.labels
    if repeated := next((label for label in labels if labels.count(label) > 1), None):
        raise UsageError(f"the method {repeated!r} is given twice", hint="leave one out")
    if plan.match.kind == "kv":
        _check_kv(plan)
    if plan.match.holds_for_sharpv:
        _check_scale(plan)
    if plan.baseline not in labels:
        raise UsageError(f"--baseline {plan.baseline}: not compared", hint=f"choose from {', '.join(labels)}")


def _check_kv(plan: Plan) -> None:
    """What matching KV entries needs, and what it does not go together with."""
    rivals = [method for method in plan.methods if method.is_rival]
    if rivals and SHARPV not in plan.labels:
        raise UsageError("--match sharpv:kv needs SharpV's own answers", hint="add sharpv to --methods")
    if memory := next((method.label for method in rivals if method.settings.memory.enabled), None):
        raise UsageError(
            f"--match sharpv:kv: {memory} would discard KV entries of its budget",
            hint="leave out +memory, or match visual tokens",
        )


def _check_scale(plan: Plan) -> None:
    """A scale that is found for the budget is neither given, nor is there one in other modes."""
    for method in plan.methods:
        if not method.is_rival and method.settings.visual.mode == "manual":
            raise UsageError(
                f"--match {plan.match}: {method.label} has a threshold, no scale", hint="leave it out"
            )
        if "scale=" in method.label:
            raise UsageError(
                f"--match {plan.match} finds the scale that {method.label} gives",
                hint="leave one of them out",
            )


def default_target(dataset: str) -> Path:
    """The results file where none is named."""
    real = os.path.realpath(dataset)  # for `.`; unlike Path.resolve and is_file, these never raise
    given = Path(real).stem if os.path.isfile(real) else Path(real).name  # noqa: PTH113
    name = re.sub(r"[^\w.-]+", "-", given).strip("-.")[:_LONGEST_NAME] or "dataset"
    return Path(f"sharpv-eval-{name}.jsonl")


def open_lines(target: Path) -> Lines | Piped:
    """Where the answers go, before the model is looked for. Raises UsageError."""
    if is_stdout(target):
        raise UsageError(
            "stdout gets the report, not the answers", hint="name a file with --out, or >(command)"
        )
    lines = open_results(target)
    warn_unlocked(lines.path, locked=lines.locked)
    return lines


def run_evaluation(
    source: Source,
    early: Dataset | None,
    resolved: Resolved,
    plan: Plan,
    lines: Lines | Piped,
    exports: Exports[Evaluation],
    *,
    restart: bool,
) -> Evaluation:
    """Ask what is not answered yet; Ctrl-C ends it with what there is. Raises UsageError, ModelError, ResourceError."""
    dataset = _scorable(early or _drawn(source), plan)
    keys = {item.id: item_key(item) for item in dataset.items}
    words = resolved.settings.prompt.subtitles
    videos = {item.id: dataset.seen(item, words) for item in dataset.items}
    digests = digests_of(dataset, source, resolved, plan)
    with ResultsFile(lines, digests, keys, videos, restart=restart) as file:
        missed, interrupted = _answered(dataset, resolved, plan, file)
        result = _summarized(dataset, resolved, plan, file, missed, interrupted=interrupted)
    exports.write(result)
    return result


def _drawn(source: Source) -> Dataset:
    with terminal.Progress() as progress, terminal.heavy_imports():
        progress.stage("reading the dataset")
        return source.read()


def _scorable(dataset: Dataset, plan: Plan) -> Dataset:
    """Without open questions, where choices are scored by their likelihood. Raises UsageError if that leaves none."""
    if plan.score == "exact":
        return dataset
    closed = dataset.with_choices()
    if not closed.items:
        raise UsageError("--score likelihood: no question has choices", hint="leave it out, or give options")
    if left := len(dataset.items) - len(closed.items):
        terminal.say("note", f"{left} of {len(dataset.items)} questions have no choices and are left out")
    return closed


def _answered(
    dataset: Dataset, resolved: Resolved, plan: Plan, file: ResultsFile
) -> tuple[Sequence[Missed], bool]:
    """Ask what is not done; what was missed, and whether it was interrupted. Where all is done no model is loaded."""
    total = len(dataset.items) * len(plan.methods)
    there = sum((item.id, label) in file.done for item in dataset.items for label in plan.labels)
    already = f"; {there} of {total} are already there" if there else ""
    terminal.say("note", f"answers go to {shown(file.path)}{already}")
    if there == total:
        return (), False
    with terminal.Progress() as progress, terminal.heavy_imports():
        progress.stage("loading the model")
        run = _run(dataset, resolved, plan)
    file.begin(run.session.loaded.info.device)
    tally = Tally(plan.labels)
    for done in file.done.values():
        tally.add(done)
    try:
        with terminal.Counting(total, there) as counting, closing(run.outcomes(file)) as outcomes:
            for outcome in outcomes:
                tally.add(outcome)
                counting.show(str(tally))
    except KeyboardInterrupt:
        return run.missed, True
    return run.missed, False


def _summarized(
    dataset: Dataset,
    resolved: Resolved,
    plan: Plan,
    file: ResultsFile,
    missed: Sequence[Missed],
    *,
    interrupted: bool,
) -> Evaluation:
    from sharpv_cli.evaluation.summary import About, summarize

    about = About(resolved.settings.model.id, file.device, str(plan.match), plan.baseline, plan.score)
    return summarize(dataset, plan.labels, file.done, missed, about, interrupted=interrupted)


def _run(dataset: Dataset, resolved: Resolved, plan: Plan) -> Run:
    from sharpv_cli.evaluation.rivals import Contest, check
    from sharpv_cli.evaluation.running import Run

    settings = resolved.settings
    session = open_session(settings)
    check(plan.methods, session.loaded)
    if plan.batch_size != 1:
        session = session.together(plan.batch_size)
    contest = Contest(plan.match, settings.generation.seed or 0, plan.score)
    limits = Limits(**settings.video.model_dump())
    return Run(dataset, plan.methods, settings, contest, session, limits)


def digests_of(dataset: Dataset, source: Source, resolved: Resolved, plan: Plan) -> dict[str, str]:
    """By method: what decides its answers."""
    weights = checkpoint_identity(resolved.settings.model, offline=resolved.settings.offline)
    common: tuple[object, ...] = (dataset.name, source.place, weights)
    if plan.score != "exact":
        common += (plan.score,)
    digests = {}
    for method in plan.methods:
        bound = method.is_rival or (plan.match.holds_for_sharpv and method.has_scale)
        budget = (str(plan.match), _deciding_budget(plan.match, resolved.settings)) if bound else ()
        digests[method.label] = method_digest(
            *common, decisive(method.settings), method.name, dict(method.parameters), budget
        )
    return digests


def _deciding_budget(match: Match, settings: Settings) -> dict[str, object]:
    """The settings that decide how much others may keep: Memory SharpV's only where KV entries are matched."""
    told = decisive(settings)
    if match.kind != "kv":
        del told["memory"]
    return told


class Tally:
    """How often each method was right so far, in a line, and how many have no answer."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._right = dict.fromkeys(labels, 0)
        self._asked = dict.fromkeys(labels, 0)
        self._missed = 0

    def add(self, outcome: Outcome | Missed) -> None:
        if not isinstance(outcome, Outcome):
            self._missed += 1
        elif outcome.method in self._asked:  # the file may hold others
            self._right[outcome.method] += outcome.right
            self._asked[outcome.method] += 1

    def __str__(self) -> str:
        shares = [
            f"{label} {100 * self._right[label] / asked:.1f} %"
            for label, asked in self._asked.items()
            if asked
        ]
        return "  ".join([*shares[:_MOST_SHARES], *([f"failed {self._missed}"] if self._missed else [])])


def write_report(
    result: Evaluation, resolved: Resolved, exports: Exports[Evaluation], *, as_json: bool
) -> None:
    """The one thing that goes to stdout."""
    if as_json:
        from sharpv_cli.report.eval_document import eval_document

        terminal.write_json(eval_document(result, settings=resolved.settings.model_dump()))
    elif (text := exports.stdout(result)) is not None:
        terminal.write_answer(text)
    else:
        from sharpv_cli.report.eval_chart import EvalChart

        terminal.write_report(EvalChart(result))
    for what, path in exports.written:
        terminal.say("note", f"{what} written to {shown(path)}")


def report_failures(result: Evaluation, *, resumable: bool) -> None:
    """What could not be asked, by name, at the end where it is seen."""
    for failure in result.failures[:_MOST_LINES]:
        method = f" ({failure.method})" if failure.method else ""
        terminal.say("warning", f"{failure.place}{method}: {failure.error}")
        if failure.hint:
            terminal.say("hint", failure.hint)
    if (more := len(result.failures) - _MOST_LINES) > 0:
        terminal.say("warning", f"and {more} more; --json lists all")
    for text, count in result.warnings[:_MOST_LINES]:
        terminal.say("warning", f"{count} answers: {text}")
    if result.failures:
        terminal.say("error", f"{len(result.failures)} failures; everything else was asked")
    for method in result.pruned_nothing:
        terminal.say("warning", f"{method} pruned nothing: its answers are dense's, token for token")
    if result.interrupted:
        terminal.say("note", "interrupted" + ("; rerunning the same command resumes" if resumable else ""))
