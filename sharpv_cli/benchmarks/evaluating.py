"""`sharpv eval` from Python: one comparison, with its answers kept, for what puts several of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sharpv_cli.benchmarks.outcomes import known_answers
from sharpv_cli.commands.eval import running
from sharpv_cli.commands.eval.source import Source
from sharpv_cli.commands.preparing import check_model, read_settings
from sharpv_cli.evaluation.results import ResultsFile, item_key
from sharpv_cli.report.eval_export import eval_exports
from sharpv_cli.tables.shard import read_shard
from sharpv_cli.types import Evaluation

if TYPE_CHECKING:
    from sharpv_cli.settings import Resolved


def evaluate(
    dataset: str,
    methods: str | None,
    results: Path,
    *,
    sweeps: Sequence[str] = (),
    match: str = "sharpv",
    baseline: str | None = "dense",
    profile: str | None = None,
    flags: Mapping[str, object] | None = None,
    limit: int | None = None,
    shard: str | None = None,
    clips: Path | None = None,
    earlier: Sequence[Path] = (),
) -> Evaluation:
    """As the command of the same options; a rerun goes on where the `results` file ends. Raises SharpvError.

    Weights that are missing are downloaded. Answers to the same questions in `earlier` results files, given with the
    same settings, are not asked again.
    """
    given = dict(flags or {})
    resolved = read_settings(given, profile)
    plan = running.read_plan(given, profile, methods, sweeps, match, baseline, "exact")
    source = Source(dataset, None, clips, limit, read_shard(shard))
    early = source.read_early()
    nothing = eval_exports(markdown=None, charts=(), results=results, settings=resolved.settings.model_dump())
    if earlier and not results.exists():
        _carry_over(source, resolved, plan, earlier, results)
    with running.open_lines(results) as lines:
        check_model(resolved)
        return running.run_evaluation(source, early, resolved, plan, lines, nothing, restart=False)


def _carry_over(
    source: Source, resolved: Resolved, plan: running.Plan, earlier: Sequence[Path], results: Path
) -> None:
    dataset = source.read()
    digests = running.digests_of(dataset, source, resolved, plan)
    keys = {item.id: item_key(item) for item in dataset.items}
    found = {
        (outcome.item, outcome.method): (device, outcome)
        for file in earlier
        for device, outcome in known_answers(file, digests)
        if keys.get(outcome.item) == outcome.key
    }
    with ResultsFile(running.open_lines(results), digests, keys) as file:
        for device, outcome in found.values():
            if device not in file.devices:
                file.begin(device)
            file.add(outcome)
