"""`sharpv ask`: one question about one video."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from sharpv_cli import terminal
from sharpv_cli.commands.options import Flags, JsonOption, ProfileOption, QuietOption, takes_settings
from sharpv_cli.commands.question import read_question
from sharpv_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from sharpv_cli.settings import Resolved
    from sharpv_cli.types import Answer, Event

_STAGES = {
    "load": "loading the model and the video",
    "decode": "loading the model and the video",
    "preprocess": "preparing the frames",
    "vision": "encoding the frames",
    "prefill": "reading the prompt",
    "generate": "answering",
}


@takes_settings
def ask(
    flags: Flags,
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="Video file.", show_default=False)],
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="The question; - reads it from stdin.")
    ] = None,
    questions: Annotated[
        list[str] | None,
        typer.Option("--question", "-q", metavar="TEXT", help="The question, instead of the argument."),
    ] = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
    stats: Annotated[
        bool | None,
        typer.Option(
            "--stats/--no-stats",
            help="Chart and statistics on stderr (default: when stderr is a terminal).",
            show_default=False,
        ),
    ] = None,
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Print the answer when it is complete, not as it comes.")
    ] = False,
    quiet: QuietOption = False,
    chart_out: Annotated[
        Path | None,
        typer.Option(
            "--chart-out", metavar="FILE", help="Write the chart to FILE.svg, .html, .png, .md or .txt."
        ),
    ] = None,
    show_settings: Annotated[
        bool,
        typer.Option("--show-settings", help="Print each setting and where it came from, on stderr."),
    ] = False,
) -> None:
    """Answer a question about a video: the answer on stdout, all else on stderr.

    Settings not given here come from SHARPV_* variables (SHARPV_FRAMES=16), the profile, the config file and
    the defaults, in this order.

    \b
    Examples:
      sharpv ask clip.mp4 "what colour is the circle?"
      sharpv ask talk.mp4 "what is on the slide?" -p llava-ov-7b --start 60
      sharpv ask clip.mp4 -q "what happens?" --json | jq .tokens
      sharpv ask clip.mp4 "what happens?" --prune off --stats
      echo "what moves?" | sharpv ask clip.mp4 - --chart-out chart.svg
    """
    if quiet and stats:
        raise UsageError("--quiet and --stats exclude each other", hint="leave out one of them")
    asked = read_question(question, questions or [])
    resolved = _prepare(video, flags, profile, chart_out)
    if show_settings:
        from sharpv_cli.settings import as_yaml

        terminal.show(as_yaml(resolved).rstrip(), soft_wrap=True)
    if not quiet:
        _name_demo_model(resolved)
    answer = _answer(video, asked, resolved, stream=not (as_json or no_stream), quiet=quiet)
    if as_json:
        terminal.write_answer(f"{_document(answer, resolved)}\n")
    elif no_stream:
        terminal.write_answer(f"{answer.text}\n")
    _report(answer, chart_out, quiet=quiet, stats=terminal.stderr().is_terminal if stats is None else stats)
    if answer.finish_reason == "interrupted":
        raise typer.Exit(terminal.INTERRUPTED)


def _prepare(video: str, flags: Flags, profile: str | None, chart_out: Path | None) -> Resolved:
    """All that can fail without the model, cheapest first, so that no mistake costs a wait for torch."""
    from sharpv_cli.settings import resolve

    terminal.require_stdout()
    if video == "-":
        raise UsageError("a video on stdin is not supported yet", hint="save it to a file and give its path")
    resolved = resolve(flags, os.environ, profile=profile)
    _stay_offline(resolved)
    if chart_out is not None:
        from sharpv_cli.report import export

        export.check_target(chart_out)
    _check_video(video, resolved)
    from sharpv_cli.models import checkpoint

    checkpoint.check(resolved.settings.model, offline=resolved.settings.offline)
    return resolved


def _stay_offline(resolved: Resolved) -> None:
    """The hub reads these when it is imported, so before that; what is on this machine needs no network."""
    from sharpv_cli.settings import BUILTIN_MODEL

    model = resolved.settings.model.id
    if resolved.settings.offline or model == BUILTIN_MODEL or os.path.isdir(model):  # noqa: PTH112 - never raises
        os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"


def _check_video(video: str, resolved: Resolved) -> None:
    from sharpv_cli.video.probe import probe

    info, start = probe(video), resolved.settings.sampling.start
    if start is not None and info.duration_sec is not None and start >= info.duration_sec:
        raise UsageError(
            f"--start {start:g} is after the end of {video}", hint=f"it lasts {info.duration_sec:.2f} s"
        )


def _name_demo_model(resolved: Resolved) -> None:
    from sharpv_cli.settings import BUILTIN_MODEL

    if resolved.settings.model.id == BUILTIN_MODEL:
        terminal.say(
            "note",
            "the built-in demo model answers; it only knows moving shapes (a real one: -p llava-ov-0.5b)",
        )


def _answer(video: str, question: str, resolved: Resolved, *, stream: bool, quiet: bool) -> Answer:
    """Run the pipeline, writing the pieces of the answer as they come where `stream` asks for it."""
    from sharpv_cli import pipeline

    events = cast("Generator[Event, None, None]", pipeline.ask(video, question, resolved.settings))
    with terminal.Progress(enabled=_draws_progress(resolved, quiet)) as progress, closing(events):
        return _follow(_loaded(events), progress, stream=stream)


def _loaded(events: Iterator[Event]) -> Iterator[Event]:
    """The same events; until the model is loaded, Ctrl-C leaves at once: there is nothing to keep yet."""
    from sharpv_cli.types import StageStarted

    with ExitStack() as loading:
        loading.enter_context(terminal.heavy_imports())
        for event in events:
            if not (isinstance(event, StageStarted) and event.stage in ("load", "decode")):
                loading.close()
            yield event


def _draws_progress(resolved: Resolved, quiet: bool) -> bool:
    """Whether our progress line is drawn: not while the hub draws its own bars of a download.

    Those are for terminals only, and not wanted with --quiet.
    """
    from sharpv_cli.models.local import local_size

    if quiet or not terminal.stderr().is_terminal:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        return False
    return local_size(resolved.settings.model.id) is not None


def _follow(events: Iterator[Event], progress: terminal.Progress, *, stream: bool) -> Answer:
    """A streamed answer ends with its newline however it ends: complete, by Ctrl-C or by an error."""
    from sharpv_cli.types import Finished, StageStarted, TextPiece

    line_open = False
    try:
        for event in events:
            match event:
                case StageStarted(stage):
                    progress.stage(_STAGES[stage])
                case TextPiece(text):
                    progress.stop()
                    if stream:
                        line_open = True
                        terminal.write_answer(text)
                case Finished(answer):
                    line_open = stream
                    return answer
    finally:
        progress.stop()
        if line_open:
            terminal.write_answer("\n")
    raise AssertionError("the pipeline ended without an answer")


def _document(answer: Answer, resolved: Resolved) -> str:
    """Indented for people, one line for pipes."""
    from sharpv_cli.report.document import ask_document, dump

    document = ask_document(
        answer,
        profile_name=resolved.profile_name,
        profile_source=resolved.profile_source,
        settings=resolved.settings.model_dump(),
    )
    return dump(document, indent=2 if sys.stdout.isatty() else None)


def _report(answer: Answer, chart_out: Path | None, *, quiet: bool, stats: bool) -> None:
    for warning in () if quiet else answer.warnings:
        terminal.say("warning", warning)
    if stats and not quiet:
        from sharpv_cli.report.chart import AnswerChart

        terminal.show(AnswerChart(answer))
    if chart_out is not None:
        from sharpv_cli.report.export import write_chart

        write_chart(answer, chart_out)
        if not quiet:
            terminal.say("note", f"chart written to {chart_out}")
