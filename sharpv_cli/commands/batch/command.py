"""`sharpv batch`: questions about many videos, on one machine or many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sharpv_cli import terminal
from sharpv_cli.commands.batch.running import Runner, Tally, make_plan, read_rows, run, summarize
from sharpv_cli.commands.options import (
    Flags,
    ProfileOption,
    QuietOption,
    ShowSettingsOption,
    VerboseOption,
    takes_settings,
)
from sharpv_cli.commands.preparing import (
    keep_inputs,
    name_demo_model,
    read_settings,
    say_settings,
)
from sharpv_cli.errors import UsageError
from sharpv_cli.tables.shard import read_shard

if TYPE_CHECKING:
    from sharpv_cli.batch.planning import Plan
    from sharpv_cli.settings import Resolved

_STDOUT = "-"


@takes_settings
def batch(
    flags: Flags,
    manifest: Annotated[
        str,
        typer.Argument(
            metavar="MANIFEST",
            help="JSON lines or CSV with video, question(s), id and settings, or a folder of videos; - is stdin.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT.jsonl",
            help="Where to append one line per question; - is stdout.",
            show_default=False,
        ),
    ],
    questions: Annotated[
        list[str] | None,
        typer.Option(
            "--question",
            "-q",
            metavar="TEXT",
            help="Ask this about a folder's videos, and about rows without a question; repeatable.",
        ),
    ] = None,
    profile: ProfileOption = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Discard OUT.jsonl and start over; by default, rerunning resumes and retries failures.",
        ),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", hidden=True)] = False,  # noqa: ARG001 - what happens by default
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Ask the first N questions.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Only part I of N of the manifest, counting from 1."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes", metavar="N", min=1, help="Model processes.  [default: one per GPU, else one]"
        ),
    ] = None,
    readers: Annotated[
        int | None,
        typer.Option("--readers", metavar="N", min=1, help="Videos decoded at once, ahead of the model."),
    ] = None,
    runner: Annotated[
        Literal["local", "ray"],
        typer.Option(
            "--runner",
            metavar="local|ray",
            help="Run on this machine, or on a Ray cluster (pip install 'sharpv[ray]').",
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            help="The Ray cluster.  [default: RAY_ADDRESS, else one is started here]",
        ),
    ] = None,
    num_gpus: Annotated[
        float | None,
        typer.Option(
            "--num-gpus", metavar="X", min=0, help="GPUs per Ray worker.  [default: 1 if there are any]"
        ),
    ] = None,
    num_cpus: Annotated[
        float | None,
        typer.Option("--num-cpus", metavar="X", min=0, help="CPU cores per Ray worker.  [default: 1]"),
    ] = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    show_settings: ShowSettingsOption = False,
) -> None:
    """Answer questions about many videos: one JSON document per line, appended to OUT.jsonl as it comes.

    The model is loaded once, videos are decoded ahead of it, and questions about the same video share one look at
    it. After Ctrl-C or a crash, run the same command again: it skips what has been answered. What cannot be
    answered becomes a `sharpv.error/1` line, and the rest carries on. Exit code 6: some have no answer.

    \b
    Examples:
      sharpv batch clips/ -q "what moves?" -o answers.jsonl
      sharpv batch clips.jsonl -o answers.jsonl -p llava-ov-7b
      sharpv batch clips.csv -o answers.jsonl --frames 16 --limit 100
      sharpv batch clips.jsonl -o part2.jsonl --shard 2/8
      sharpv batch clips.jsonl -o answers.jsonl --runner ray --address auto
      sharpv batch clips.jsonl -o - | jq -r '[.id, .answer] | @tsv'
    """
    from sharpv_cli.batch.manifest import check_questions

    terminal.set_level(quiet=quiet, verbose=verbose)
    place = Runner(runner, address, num_gpus, num_cpus, processes, readers)
    _check(place)
    part = read_shard(shard)
    resolved = read_settings(flags, profile)
    asked = check_questions(questions or [])
    target = None if out == _STDOUT else Path(out)
    keep_inputs([manifest, profile], [target])
    if show_settings:
        say_settings(resolved)
    rows = read_rows(manifest, asked)

    def plan() -> Plan:
        return make_plan(rows, flags, profile, resolved, part, limit)

    tally, interrupted = _run(plan, target, resolved, place, restart=restart)
    summarize(tally, target, interrupted=interrupted)
    if interrupted:
        raise typer.Exit(terminal.INTERRUPTED)
    if tally.failures or tally.left:
        raise typer.Exit(terminal.SOME_FAILED)


def _check(runner: Runner) -> None:
    """Raises UsageError for options of the other runner, and where Ray is not there."""
    local = {"--processes": runner.processes, "--readers": runner.readers}
    ray = {"--address": runner.address, "--num-gpus": runner.num_gpus, "--num-cpus": runner.num_cpus}
    others, other = (local, "local") if runner.name == "ray" else (ray, "ray")
    if wrong := next((name for name, value in others.items() if value is not None), None):
        raise UsageError(f"{wrong} is for --runner {other}", hint=f"leave it out, or add --runner {other}")
    if runner.name == "ray":
        from sharpv_cli.batch.ray_runner import require_ray

        require_ray()


def _run(
    make: Callable[[], Plan], target: Path | None, resolved: Resolved, runner: Runner, *, restart: bool
) -> tuple[Tally, bool]:
    """Plan what is asked once it is known where answers go, for planning may download the model."""
    from sharpv_cli.batch.results import ResultsFile, Written
    from sharpv_cli.report.document import dump

    if target is None:
        plan = make()
        _name_model(plan, resolved)
        return run(
            plan, Written(lambda document: terminal.write_answer(f"{dump(document)}\n")), resolved, runner
        )
    with ResultsFile(target, restart=restart) as file:
        plan = make()
        left = plan.without(file.done)
        _name_model(left, resolved)
        file.begin(left)
        return run(plan, file, resolved, runner)


def _name_model(left: Plan, resolved: Resolved) -> None:
    if left.jobs:
        name_demo_model(resolved)
