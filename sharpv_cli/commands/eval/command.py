"""`sharpv eval`: what pruning costs in right answers, on a benchmark, method against method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sharpv_cli import terminal
from sharpv_cli.commands.announcing import announce_store
from sharpv_cli.commands.charts import ChartOutOption, ThemeOption
from sharpv_cli.commands.eval.source import Source
from sharpv_cli.commands.inputs import keep_inputs
from sharpv_cli.commands.options import (
    MOST,
    BatchSizeOption,
    Flags,
    JsonOption,
    ProfileOption,
    QuietOption,
    ShowSettingsOption,
    VerboseOption,
    option,
    takes_settings,
)
from sharpv_cli.commands.preparing import check_model, name_demo_model, read_settings, say_settings
from sharpv_cli.errors import UsageError
from sharpv_cli.tables.shard import read_shard


@takes_settings
def evaluate(
    flags: Flags,
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="shapes, shapes:VARIANT, a benchmark's folder, or a JSONL file of {video, question, answer}.",
            show_default=False,
        ),
    ],
    profile: ProfileOption = None,
    methods: Annotated[
        str | None,
        option(
            "--methods NAME[:KEY=X],...",
            "Choose from dense, dense-fewer-frames, sharpv, visual, memory, manual, random-dagger, random-star, "
            "stride, evs, vidcom2, dycoke and fastv.  [default: dense,sharpv]",
        ),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        option(
            "--sweep KEY=X,...",
            "Add SharpV with these values of w, scale, k, min-tokens, m or positions; repeatable.",
        ),
    ] = None,
    match: Annotated[
        str,
        option(
            "--match BUDGET",
            "What the other methods may keep: as many visual tokens as SharpV (sharpv), as many KV entries "
            "(sharpv:kv), or a ratio; what all may, SharpV with the scale that keeps so many: tokens:N a clip, or "
            "all:RATIO.  [default: sharpv]",
            show_default=False,
        ),
    ] = "sharpv",
    baseline: Annotated[
        str | None, option("--baseline NAME", "Compare with this method.  [default: the first one]")
    ] = None,
    score: Annotated[
        Literal["exact", "likelihood"],
        option(
            "--score exact|likelihood",
            "Compare what is generated, or take the likeliest of a question's options for the answer.",
        ),
    ] = "exact",
    limit: Annotated[
        int | None,
        option(
            "--limit N",
            "Ask N questions, spread over the dataset.  [default: all; the first 500 of shapes]",
            min=1,
            max=MOST,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        option(
            "--shard I/N",
            "Only part I of N of the questions, counting from 1; join the files of all parts for the whole.",
        ),
    ] = None,
    batch_size: BatchSizeOption = "auto",
    layout: Annotated[
        str | None,
        option(
            "--layout NAME",
            "mvbench, videomme, motionbench, nextqa, activitynetqa or jsonl.  [default: recognised by its files]",
        ),
    ] = None,
    clips: Annotated[
        Path | None, option("--clips DIR", "Where the clips of shapes are kept.  [default: the cache folder]")
    ] = None,
    out: Annotated[
        Path | None,
        option(
            "--out -o FILE.jsonl",
            "Where to append each answer; rerunning resumes.  [default: sharpv-eval-DATASET.jsonl]",
        ),
    ] = None,
    allow_noop: Annotated[
        bool, option("--allow-noop", "Do not exit 6 because a method pruned nothing.")
    ] = False,
    restart: Annotated[bool, option("--restart", "Discard what is in --out and start over.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    show_settings: ShowSettingsOption = False,
    export_markdown: Annotated[
        str | None, option("--export-markdown FILE|-", "The report as Markdown.", panel="Exports")
    ] = None,
    chart_out: ChartOutOption = None,
    theme: ThemeOption = "light",
) -> None:
    """Measure on a benchmark how often each pruning method is right, at which budgets.

    Every answer is appended to a results file as it comes: run the same command again after Ctrl-C or a crash, and it
    goes on. What other methods leave to chance follows --seed. stdout gets the report. Exit code 6: some questions
    could not be asked, or a method pruned nothing.

    \b
    Examples:
      sharpv eval shapes
      sharpv eval shapes --limit 200 --methods dense,sharpv,random-dagger,evs,fastv
      sharpv eval shapes --sweep w=0,0.5,1,2 --chart-out w.svg
      sharpv eval shapes:noise --methods dense,sharpv --json | jq .methods
      sharpv eval ~/MVBench -p llava-ov-7b --methods dense,sharpv,vidcom2 --match sharpv:kv
      sharpv eval mine.jsonl -p qwen2.5-vl-3b --baseline dense
      sharpv eval ~/MVBench -p llava-ov-7b --score likelihood
      sharpv eval shapes:long --frames 64 --match tokens:512 --methods sharpv,dense-fewer-frames,stride
      sharpv eval ~/MVBench -p llava-ov-7b -o part2.jsonl --shard 2/8
    """
    from sharpv_cli.commands.eval import running

    terminal.set_level(quiet=quiet, verbose=verbose)
    if as_json and export_markdown == "-":
        raise UsageError(
            "--json and --export-markdown - both write to stdout", hint="give one of them a file"
        )
    resolved = read_settings(flags, profile)
    plan = running.read_plan(flags, profile, methods, sweep or [], match, baseline, score, batch_size)
    source = Source(dataset, layout, clips, limit, read_shard(shard))
    target = out or running.default_target(dataset)
    outputs = [export_markdown, *(chart_out or [])]
    keep_inputs([dataset], outputs, resolved, results=target)
    from sharpv_cli.report.eval_export import eval_exports

    exports = eval_exports(
        markdown=export_markdown,
        charts=chart_out or [],
        results=target,
        settings=resolved.settings.model_dump(),
        theme=theme,
    )
    if show_settings:
        say_settings(resolved)
    early = source.read_early()
    if early is not None:
        keep_inputs([str(item.video) for item in early.items], outputs, resolved)
    with running.open_lines(target) as lines:
        check_model(resolved)
        name_demo_model(resolved)
        result = running.run_evaluation(source, early, resolved, plan, lines, exports, restart=restart)
        announce_store(resolved.settings)
    running.write_report(result, resolved, exports, as_json=as_json)
    running.report_failures(result, resumable=lines.resumable)
    if result.interrupted:
        raise typer.Exit(terminal.INTERRUPTED)
    if result.failures or (result.pruned_nothing and not allow_noop):
        raise typer.Exit(terminal.SOME_FAILED)
