"""What `sharpv batch` does between its options and its exit code."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sharpv_cli import terminal
from sharpv_cli.commands.options import Flags
from sharpv_cli.commands.preparing import check_model
from sharpv_cli.cores import cores
from sharpv_cli.text import shown

if TYPE_CHECKING:
    from sharpv_cli.batch.manifest import Manifest
    from sharpv_cli.batch.planning import Plan
    from sharpv_cli.batch.processes import Model
    from sharpv_cli.batch.results import Document, Left, Results, Told
    from sharpv_cli.settings import Resolved, Settings
    from sharpv_cli.tables.shard import Shard
    from sharpv_cli.types import Form

_MOST_FAILURES = 20  # lines on stderr; all are in the results


@dataclass(frozen=True, slots=True)
class Runner:
    """Where the jobs run; None is what the runner finds itself."""

    name: str
    address: str | None
    num_gpus: float | None
    num_cpus: float | None
    processes: int | None
    readers: int | None
    batch_size: int | None = None

    def of(self, model: Model, jobs: int) -> tuple[Model, list[str | None]]:
        """The model as its processes load it, and the device of each. Raises UsageError."""
        from sharpv_cli.batch.processes import devices_of

        devices = devices_of(model.resolved.settings, self.processes, jobs)
        return replace(model, batch_size=self.batch_size, sharing=len(devices) // len(set(devices))), devices


@dataclass
class Tally:
    """How a run went. `failed` are its `sharpv.error/1` documents, the first of them; `left` what gets no line.

    Where answers are `held` to a grammar, those that were cut off are `unfinished`.
    """

    there: int
    total: int
    held: bool = False
    answered: int = 0
    unfinished: int = 0
    failures: int = 0
    failed: list[Document] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def count(self, document: Told) -> None:
        if not isinstance(document, dict):
            self.left.append(document)
        elif document["schema"] == "sharpv.error/1":
            self.failures += 1
            self.failed += [document] if len(self.failed) < _MOST_FAILURES else []
        else:
            self.answered += 1
            self.unfinished += self.held and document["finish_reason"] == "length"

    @property
    def is_whole(self) -> bool:
        """Whether every question got its answer."""
        return not (self.failures or self.left or self.unfinished)

    @property
    def done(self) -> int:
        return self.answered + self.failures + len(self.left)

    @property
    def rate(self) -> float:
        """Questions a second, of those that this run asked."""
        return self.done / max(time.monotonic() - self.began, 1e-6)


def read_rows(source: str, questions: tuple[str, ...]) -> Manifest:
    """What the manifest says. Raises UsageError where nothing can be read."""
    from sharpv_cli.batch.manifest import read_manifest

    manifest = read_manifest(source, questions)
    for note in manifest.notes:
        terminal.say("note", note)
    if manifest.unused:
        names = ", ".join(shown(name) for name in manifest.unused)
        terminal.say("note", f"ignored fields of the manifest: {names}")
    return manifest


def make_plan(
    manifest: Manifest,
    flags: Flags,
    profile: str | None,
    resolved: Resolved,
    shard: Shard,
    limit: int | None,
    form: Form | None = None,
) -> Plan:
    """What is asked, by default for any text; what is wrong with a row is in the plan.

    The model's files are checked, and downloaded where they are missing: whether a question is answered already depends
    on them. Raises ModelError, ResourceError.
    """
    from sharpv_cli.batch.planning import plan
    from sharpv_cli.settings import in_place, resolve
    from sharpv_cli.types import ANY_TEXT

    known: dict[str, Settings] = {}

    def settings_for(own: Mapping[str, object]) -> Settings:
        key = repr(sorted(own.items()))
        if key not in known:
            known[key] = resolve(in_place(flags, own), os.environ, profile=profile).settings
        return known[key]

    return plan(
        manifest, settings_for, _weights(resolved) if manifest.rows else "", shard, limit, form or ANY_TEXT
    )


def _weights(resolved: Resolved) -> str:
    from sharpv_cli.models.identity import checkpoint_identity

    check_model(resolved)
    return checkpoint_identity(resolved.settings.model, offline=resolved.settings.offline)


def run(plan: Plan, results: Results, model: Model, runner: Runner) -> tuple[Tally, bool]:
    """Ask `model` what is not there yet; how it went, and whether it was interrupted. Loads it only then.

    Raises ModelError, ResourceError, UsageError.
    """
    from sharpv_cli.batch.results import error_documents

    left = plan.without(results.done)
    asked = {one.id for one in left.asked}
    held = {one.id for one in plan.asked if one.form.grammar is not None}
    tally = Tally(len(plan.asked) - len(asked), len(asked) + len(plan.failures), bool(held))
    tally.unfinished = len((held & results.cut) - asked)  # there already, and as they would be again
    try:
        _add_all(error_documents(plan.failures), results, tally)
        if left.jobs:
            _add_told(_worked(left, model, runner, tally), results)
    except KeyboardInterrupt:
        return tally, True
    return tally, False


def _add_all(documents: Iterator[Document], results: Results, tally: Tally) -> None:
    for document in documents:
        results.add(document)
        tally.count(document)


def _add_told(told: Generator[Told], results: Results) -> None:
    with closing(told):
        for document in told:
            if isinstance(document, dict):
                results.add(document)


def _worked(plan: Plan, model: Model, runner: Runner, tally: Tally) -> Generator[Told]:
    """What becomes of each question of the jobs; it is counted, and shown, once it was taken. To be closed."""
    with ExitStack() as on_leaving:
        on_leaving.enter_context(terminal.stdout_kept())  # Ray prints the deaths of workers
        told = _documents(plan, model, runner, on_leaving)
        on_leaving.enter_context(closing(told))  # type: ignore[type-var]
        tally.began = time.monotonic()
        counting = on_leaving.enter_context(terminal.Counting(tally.total, tally.done))
        for document in told:
            yield document
            tally.count(document)
            counting.show(f"{tally.rate:.1f}/s" + (f"  {tally.failures} failed" if tally.failures else ""))


def _documents(plan: Plan, model: Model, runner: Runner, on_leaving: ExitStack) -> Iterator[Told]:
    """Loads the model where it runs on this machine; what can go wrong with it does so here."""
    if runner.name == "ray":
        from sharpv_cli.batch.ray_runner import Cluster, on_cluster

        model = replace(model, batch_size=runner.batch_size)
        return on_cluster(plan.jobs, model, Cluster(runner.address, runner.num_gpus, runner.num_cpus))
    from sharpv_cli.batch.fleet import Fleet
    from sharpv_cli.video.shares import default_readers

    with terminal.Progress() as progress, terminal.heavy_imports():
        progress.stage("loading the model")
        model, devices = runner.of(model, len(plan.jobs))
        readers = runner.readers or default_readers(cores(), len(devices))
        fleet = on_leaving.enter_context(Fleet(model, devices, readers))
    return fleet.documents(plan.jobs)


def say_failures(tally: Tally, place: str = "") -> None:
    """What got no answer on stderr, the first ones by name; `place` says where the others are."""
    for document in tally.failed:
        named = "" if document["id"] is None else f"{document['id']}: "
        terminal.say("warning", f"{named}{document['error']}")
    if (more := tally.failures - len(tally.failed)) > 0:
        terminal.say("warning", f"and {more} more{place}")
    if tally.left:
        for left in tally.left[:_MOST_FAILURES]:
            terminal.say("warning", f"{left.id} is left for the next run: {left.error}")
        if (more := len(tally.left) - _MOST_FAILURES) > 0:
            terminal.say("warning", f"and {more} more are left")
        hint = tally.left[0].error.hint
        terminal.say("hint", hint or "run it again when the machine has more to spare")


def summarize(tally: Tally, target: Path | None, *, interrupted: bool, goes_on: bool) -> None:
    """A few lines on stderr: failures by name, at the end where they are seen."""
    say_failures(tally, ", in the results")
    if tally.unfinished:
        terminal.say("warning", f"not complete, as --max-new-tokens ended them: {tally.unfinished} answers")
        terminal.say("hint", "raise it, or bound the texts and lists of the schema")
    there = f", {tally.there} were there already" if tally.there else ""
    failed = f", {tally.failures} failed" if tally.failures else ""
    failed += f", {len(tally.left)} left" if tally.left else ""
    place = "" if target is None else f"; {shown(target)}"
    rate = f" ({tally.rate:.2f} questions/s)" if tally.answered else ""
    terminal.say("note", f"{tally.answered} answered{rate}{failed}{there}{place}")
    if interrupted:
        terminal.say("note", "interrupted" + ("; rerunning the same command resumes" if goes_on else ""))
    elif (tally.failures or tally.left) and goes_on:
        terminal.say("note", "rerunning the same command retries what failed")
