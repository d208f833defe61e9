"""`sharpv profile`: what SharpV does to the tokens, the time and the memory of one's own clip."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from sharpv_cli import terminal
from sharpv_cli.commands.charts import ChartOutOption, ThemeOption
from sharpv_cli.commands.details import say_details
from sharpv_cli.commands.following import follow
from sharpv_cli.commands.inputs import keep_inputs
from sharpv_cli.commands.options import (
    Flags,
    JsonOption,
    ProfileOption,
    QuietOption,
    ShowSettingsOption,
    VerboseOption,
    VideoArgument,
    option,
    takes_settings,
)
from sharpv_cli.commands.preparing import (
    check_inputs,
    first_after_loading,
    name_demo_model,
    opened,
    read_settings,
    say_settings,
)
from sharpv_cli.commands.profile.sweep import read_sweeps
from sharpv_cli.commands.question import read_question
from sharpv_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Generator

    from sharpv_cli.pipeline import Plan, SweptSettings
    from sharpv_cli.report.exports import Exports
    from sharpv_cli.report.pages import ThemeName
    from sharpv_cli.settings import Resolved
    from sharpv_cli.types import ClipProfile, ProfileEvent
    from sharpv_cli.video.local import LocalVideo
    from sharpv_cli.video.probe import Scan

_STAGES = {"load": "loading the model", "decode": "decoding the video"}


def _export(name: str, what: str) -> object:
    return option(f"--export-{name} FILE|-", what, panel="Exports")


MOST_ROUNDS = 100_000  # each of them is an answer


@takes_settings
def profile(
    flags: Flags,
    video: VideoArgument,
    question: Annotated[str, option("--question -q TEXT", "The question.")] = "Describe the video.",
    profile: ProfileOption = None,
    methods: Annotated[
        str | None,
        option("--methods NAME,...", "Choose from dense, visual, memory and sharpv.  [default: all]"),
    ] = None,
    engines: Annotated[
        str | None,
        option(
            "--engines NAME,...",
            "Compare engines too: choose from stock (transformers' generate), reference and fast.",
        ),
    ] = None,
    warmup: Annotated[int, option("--warmup N", "Warm-up rounds, not counted.", min=0, max=MOST_ROUNDS)] = 1,
    runs: Annotated[int, option("--runs N", "Timed rounds.", min=1, max=MOST_ROUNDS)] = 5,
    sweep: Annotated[
        list[str] | None,
        option(
            "--sweep KEY=X,...",
            "Also measure these values of w, m, k (implies --prune manual), scale or frames (dense too); "
            "repeatable.",
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    show_settings: ShowSettingsOption = False,
    export_json: Annotated[str | None, _export("json", "Everything, including raw times.")] = None,
    export_markdown: Annotated[str | None, _export("markdown", "The report as Markdown.")] = None,
    export_csv: Annotated[str | None, _export("csv", "The times, one row per run.")] = None,
    chart_out: ChartOutOption = None,
    theme: ThemeOption = "light",
) -> None:
    """Measure tokens, time and memory on a clip: dense and SharpV, side by side.

    dense is the model without pruning, visual prunes tokens before it, memory discards KV entries inside it, and
    sharpv uses the settings as given. Each answers once; then they take turns in timed runs of exactly
    --max-new-tokens new tokens (32 by default; the end of an answer is ignored). stdout gets the report, or the
    export whose FILE is -. Exports are written after each run, so Ctrl-C keeps what was measured.

    \b
    Examples:
      sharpv profile clip.mp4
      sharpv profile talk.mp4 -q "what is on the slide?" -p llava-ov-7b --runs 10
      sharpv profile clip.mp4 --sweep w=0,0.5,1,2 --chart-out profile.svg
      sharpv profile clip.mp4 --engines stock,fast --sweep frames=8,32,128
      sharpv profile clip.mp4 --methods dense,sharpv --export-csv - > runs.csv
      sharpv profile clip.mp4 --json | jq .methods.both.memory
    """
    terminal.set_level(quiet=quiet, verbose=verbose)
    asked = read_question(None, [question])
    targets = {"json": export_json, "markdown": export_markdown, "csv": export_csv}
    _refuse_two_documents(targets, as_json)
    resolved = read_settings(flags, profile)
    plan = _plan(resolved, methods, engines, read_sweeps(sweep or [], flags, profile), warmup, runs)
    keep_inputs([video], [*targets.values(), *(chart_out or [])], resolved)
    exports = _open_exports(video, resolved, targets, chart_out or [], theme)
    if show_settings:
        say_settings(resolved)
    with opened(video, resolved) as local:
        scan = check_inputs(local, resolved)
        name_demo_model(resolved)
        _say_what_is_off(resolved)
        result = _measure(local, scan, asked, resolved, plan, exports)
    _write(result, resolved, exports, as_json=as_json)
    _report(result, exports)
    if result.interrupted:
        raise typer.Exit(terminal.INTERRUPTED)


def _refuse_two_documents(targets: Mapping[str, str | None], as_json: bool) -> None:
    for name, target in targets.items():
        if as_json and target == "-":
            raise UsageError(
                f"--json and --export-{name} - both write to stdout", hint="give one of them a file"
            )


def _plan(
    resolved: Resolved,
    methods: str | None,
    engines: str | None,
    sweep: list[SweptSettings],
    warmup: int,
    runs: int,
) -> Plan:
    from sharpv_cli.pipeline import METHODS, Plan, engine_names, method_names

    names = tuple(METHODS) if methods is None else method_names(methods)
    compared = () if engines is None else engine_names(engines)
    return Plan(names, compared, sweep, warmup, runs, _new_tokens(resolved))


def _new_tokens(resolved: Resolved) -> int:
    """What the user asked for. A profile's limit is there for its answers and often longer than needed here."""
    from sharpv_cli.pipeline import DEFAULT_NEW_TOKENS

    limit = resolved.settings.generation.max_new_tokens
    asked = resolved.origins["generation.max_new_tokens"].startswith(("flag", "SHARPV_"))
    return limit if asked else min(limit, DEFAULT_NEW_TOKENS)


def _open_exports(
    video: str, resolved: Resolved, targets: Mapping[str, str | None], charts: list[str], theme: ThemeName
) -> Exports[ClipProfile]:
    from sharpv_cli.report.profile_export import profile_exports

    return profile_exports(**targets, charts=charts, video=video, about=resolved.told, theme=theme)


def _say_what_is_off(resolved: Resolved) -> None:
    """With a part of SharpV turned off, two pairs of methods are the same."""
    if resolved.settings.visual.mode == "off":
        terminal.say("warning", "--prune off: visual is the same as dense, and sharpv the same as memory")
    if not resolved.settings.memory.enabled:
        terminal.say("warning", "--no-memory: memory is the same as dense, and sharpv the same as visual")


def _measure(
    video: LocalVideo,
    scan: Scan,
    question: str,
    resolved: Resolved,
    plan: Plan,
    exports: Exports[ClipProfile],
) -> ClipProfile:
    from sharpv_cli import pipeline

    with closing(pipeline.profile(video, question, resolved.settings, plan, scan)) as events:
        with terminal.Progress() as progress:
            event = first_after_loading(events, progress, _STAGES)
        # A line that moves takes time from what is being measured: this one is drawn between the runs.
        with terminal.Progress(still=True) as progress:
            return _followed(event, events, progress, exports)


def _followed(
    event: ProfileEvent,
    events: Generator[ProfileEvent, None, None],
    progress: terminal.Progress,
    exports: Exports[ClipProfile],
) -> ClipProfile:
    """The last result. The exports are written after each run, but charts in the end: drawing one takes a while."""
    from sharpv_cli.types import ClipProfile, RunStarted

    results: list[ClipProfile] = []

    def act(event: ProfileEvent) -> bool:
        match event:
            case RunStarted(label, kind, number, total):
                progress.stage(f"{label}: {kind} (run {number} of {total})")
            case ClipProfile():
                if not results:
                    say_details(event.methods[0].answer)
                results[:] = [event]
                exports.write(event, charts=False)
        return False

    try:
        follow(event, events, act)
    finally:
        if results:
            exports.write(results[0])
    return results[0]


def _write(result: ClipProfile, resolved: Resolved, exports: Exports[ClipProfile], *, as_json: bool) -> None:
    """The one thing that goes to stdout."""
    if as_json:
        from sharpv_cli.report.profile_document import profile_document

        terminal.write_json(profile_document(result, resolved.told))
    elif (text := exports.stdout(result)) is not None:
        terminal.write_answer(text)
    else:
        from sharpv_cli.report.profile_chart import ProfileChart

        terminal.write_report(ProfileChart(result))


def _report(result: ClipProfile, exports: Exports[ClipProfile]) -> None:
    from sharpv_cli.types.profile import method_label

    measured = [*result.methods, *(point.profile for point in result.sweep)]
    for warning in dict.fromkeys(warning for one in measured for warning in one.answer.warnings):
        terminal.say("warning", warning)
    for failed in result.sweep_failures:
        value = f"{failed.key}={failed.value:g}"
        terminal.say(
            "warning", f"--sweep {value} ({method_label(failed.method)}) was left out: {failed.failure.error}"
        )
    for engine in result.engines:
        if engine.failure is not None:
            terminal.say(
                "warning",
                f"--engines {engine.engine} ({method_label(engine.method)}) was left out: {engine.failure.error}",
            )
    for what, path in exports.written:
        terminal.say("note", f"{what} written to {path}")
