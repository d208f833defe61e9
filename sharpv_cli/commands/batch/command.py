"""`sharpv batch`: questions about many videos, on one machine or many."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sharpv_cli import terminal
from sharpv_cli.commands.announcing import announce_store
from sharpv_cli.commands.batch.running import Runner, make_plan, read_rows, run, summarize
from sharpv_cli.commands.forming import read_form
from sharpv_cli.commands.inputs import keep_inputs
from sharpv_cli.commands.options import (
    MOST,
    MOST_WORKERS,
    AddressOption,
    BatchSizeOption,
    Flags,
    ProcessesOption,
    ProfileOption,
    QuietOption,
    ReadersOption,
    RunnerOption,
    ShowSettingsOption,
    VerboseOption,
    option,
    takes_form,
    takes_settings,
)
from sharpv_cli.commands.preparing import (
    batch_size_of,
    name_demo_model,
    read_settings,
    say_settings,
    warn_unlocked,
)
from sharpv_cli.errors import UsageError
from sharpv_cli.tables.shard import read_shard
from sharpv_cli.text import shown

if TYPE_CHECKING:
    from sharpv_cli.batch.results import ResultsFile, Written

_STDOUT = "-"


@takes_settings
@takes_form
def batch(
    flags: Flags,
    wanted: Flags,
    manifest: Annotated[
        str,
        typer.Argument(
            metavar="MANIFEST",
            help="JSON lines or CSV with video, question(s), choices, id and settings, or a folder of videos; "
            "- is stdin.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str,
        option(
            "--out -o OUT.jsonl", "Where to append one line per question; - is stdout.", show_default=False
        ),
    ],
    questions: Annotated[
        list[str] | None,
        option(
            "--question -q TEXT",
            "Ask this about a folder's videos, and about rows without a question; repeatable.",
        ),
    ] = None,
    profile: ProfileOption = None,
    restart: Annotated[
        bool,
        option(
            "--restart",
            "Discard OUT.jsonl and start over; by default, rerunning resumes and retries failures.",
        ),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", hidden=True)] = False,
    limit: Annotated[int | None, option("--limit N", "Ask the first N questions.", min=1, max=MOST)] = None,
    shard: Annotated[
        str | None, option("--shard I/N", "Only part I of N of the manifest, counting from 1.")
    ] = None,
    processes: ProcessesOption = None,
    readers: ReadersOption = None,
    batch_size: BatchSizeOption = "auto",
    runner: RunnerOption = "local",
    address: AddressOption = None,
    num_gpus: Annotated[
        float | None,
        option(
            "--num-gpus X", "GPUs per Ray worker.  [default: 1 if there are any]", min=0, max=MOST_WORKERS
        ),
    ] = None,
    num_cpus: Annotated[
        float | None,
        option("--num-cpus X", "CPU cores per Ray worker.  [default: 1]", min=0, max=MOST_WORKERS),
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
      sharpv batch clips/ -o answers.jsonl -q "what moves?" --choices car,person
      sharpv batch clips.jsonl -o part2.jsonl --shard 2/8
      sharpv batch clips.jsonl -o answers.jsonl --runner ray --address auto
      sharpv batch clips.jsonl -o - | jq -r '[.id, .answer] | @tsv'
    """
    from sharpv_cli.batch.manifest import check_questions
    from sharpv_cli.batch.processes import Model
    from sharpv_cli.batch.results import ResultsFile

    terminal.set_level(quiet=quiet, verbose=verbose)
    place = Runner(runner, address, num_gpus, num_cpus, processes, readers, batch_size_of(batch_size))
    check_runner(place)
    part = read_shard(shard)
    resolved = read_settings(flags, profile)
    asked, form = check_questions(questions or []), read_form(wanted)
    target = None if out == _STDOUT else Path(out)
    keep_inputs([manifest], [], resolved, results=target)
    if show_settings:
        say_settings(resolved)
    rows = read_rows(manifest, asked)
    with ExitStack() as until_done:
        results = _results(target, until_done, resume=resume, restart=restart)
        planned = make_plan(rows, flags, profile, resolved, part, limit, form)  # which may download the model
        planned = planned.retried_last(results.failed)
        left = planned.without(results.done)
        if left.jobs:
            name_demo_model(resolved)
        if isinstance(results, ResultsFile):
            results.begin(left)
        tally, interrupted = run(planned, results, Model(resolved), place)
    announce_store(resolved.settings)
    summarize(tally, target, interrupted=interrupted, goes_on=results.resumable)
    if interrupted:
        raise typer.Exit(terminal.INTERRUPTED)
    if not tally.is_whole:
        raise typer.Exit(terminal.SOME_FAILED)


def check_runner(runner: Runner) -> None:
    """Raises UsageError for options of the other runner, and where Ray is not there."""
    local = {"--processes": runner.processes, "--readers": runner.readers}
    ray = {"--address": runner.address, "--num-gpus": runner.num_gpus, "--num-cpus": runner.num_cpus}
    others, other = (local, "local") if runner.name == "ray" else (ray, "ray")
    if wrong := next((name for name, value in others.items() if value is not None), None):
        raise UsageError(f"{wrong} is for --runner {other}", hint=f"leave it out, or add --runner {other}")
    if nan := next((name for name, value in ray.items() if value != value), None):
        raise UsageError(f"{nan} nan: not a number", hint="give the number of cores or GPUs of a worker")
    if runner.name == "ray":
        from sharpv_cli.batch.ray_runner import require_ray

        require_ray()


def _results(
    target: Path | None, until_done: ExitStack, *, resume: bool, restart: bool
) -> ResultsFile | Written:
    """Where answers go, opened before the model is looked for. Raises UsageError."""
    from sharpv_cli.batch.results import ResultsFile, Written

    if target is None:
        results: ResultsFile | Written = Written(partial(terminal.write_json, several=True))
    else:
        results = until_done.enter_context(ResultsFile(target, restart=restart))
        warn_unlocked(target, locked=results.locked)
    if resume and not results.resumable:
        raise UsageError(
            f"--resume: what was written to {'stdout' if target is None else shown(target)} cannot be read back",
            hint="name a file with -o, or leave out --resume",
        )
    return results
