"""`sharpv eval` from Python: one comparison, with its answers kept, for what puts several of them together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sharpv_cli.commands.eval import running
from sharpv_cli.commands.eval.source import Source
from sharpv_cli.commands.preparing import check_model, read_settings
from sharpv_cli.report.eval_export import eval_exports
from sharpv_cli.tables.shard import read_shard
from sharpv_cli.types import Evaluation


def evaluate(
    dataset: str,
    methods: str,
    results: Path,
    *,
    match: str = "sharpv",
    baseline: str = "dense",
    profile: str | None = None,
    flags: Mapping[str, object] | None = None,
    limit: int | None = None,
    clips: Path | None = None,
) -> Evaluation:
    """As the command of the same options; a rerun goes on where the `results` file ends. Raises SharpvError.

    Weights that are missing are downloaded.
    """
    given = dict(flags or {})
    resolved = read_settings(given, profile)
    plan = running.read_plan(given, profile, methods, [], match, baseline, "exact")
    source = Source(dataset, None, clips, limit, read_shard(None))
    early = source.read_early()
    nothing = eval_exports(markdown=None, charts=(), results=results, settings=resolved.settings.model_dump())
    with running.open_lines(results) as lines:
        check_model(resolved)
        return running.run_evaluation(source, early, resolved, plan, lines, nothing, restart=False)
