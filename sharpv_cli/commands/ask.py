"""`sharpv ask`: one question about one video."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from sharpv_cli import terminal
from sharpv_cli.commands.options import (
    Flags,
    JsonOption,
    ProfileOption,
    QuietOption,
    ShowSettingsOption,
    takes_settings,
)
from sharpv_cli.commands.preparing import (
    check_inputs,
    draws_progress,
    first_after_loading,
    name_demo_model,
    read_settings,
    say_settings,
)
from sharpv_cli.commands.question import read_question
from sharpv_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Generator

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
    show_settings: ShowSettingsOption = False,
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
        say_settings(resolved)
    if not quiet:
        name_demo_model(resolved)
    answer = _answer(video, asked, resolved, stream=not (as_json or no_stream), quiet=quiet)
    if as_json:
        terminal.write_answer(f"{_document(answer, resolved)}\n")
    elif no_stream:
        terminal.write_answer(f"{answer.text}\n")
    _report(answer, chart_out, quiet=quiet, stats=terminal.stderr().is_terminal if stats is None else stats)
    if answer.finish_reason == "interrupted":
        raise typer.Exit(terminal.INTERRUPTED)


def _prepare(video: str, flags: Flags, profile: str | None, chart_out: Path | None) -> Resolved:
    """All that can fail without the model, cheapest first."""
    resolved = read_settings(video, flags, profile)
    if chart_out is not None:
        from sharpv_cli.report import export

        export.check_target(chart_out)
    check_inputs(video, resolved)
    return resolved


def _answer(video: str, question: str, resolved: Resolved, *, stream: bool, quiet: bool) -> Answer:
    """Run the pipeline, writing the pieces of the answer as they come where `stream` asks for it."""
    from sharpv_cli import pipeline

    events = cast("Generator[Event, None, None]", pipeline.ask(video, question, resolved.settings))
    with terminal.Progress(enabled=draws_progress(resolved, quiet)) as progress, closing(events):
        event = first_after_loading(events, progress, _STAGES)
        return _follow(event, events, progress, stream=stream)


def _follow(
    event: Event, events: Generator[Event, None, None], progress: terminal.Progress, *, stream: bool
) -> Answer:
    """Act on `event` and all after it. A streamed answer ends with its newline however it ends.

    Ctrl-C may come while the pipeline works, which then finishes by itself, or while we write: then it is
    told. Before the first token, or a second time, KeyboardInterrupt goes through.
    """
    from sharpv_cli.types import Finished

    out = _Stream(progress, enabled=stream)
    try:
        while not isinstance(event, Finished):
            try:
                out.act(event)
                event = next(events)
            except KeyboardInterrupt:
                event = events.throw(KeyboardInterrupt())
        out.complete(event.answer)
        return event.answer
    finally:
        out.close()


class _Stream:
    """The progress line until the first token, then the answer on stdout as it comes."""

    def __init__(self, progress: terminal.Progress, *, enabled: bool) -> None:
        self._progress = progress
        self._enabled = enabled
        self._written = 0
        self._line_open = False

    def act(self, event: Event) -> None:
        from sharpv_cli.types import StageStarted, TextPiece

        match event:
            case StageStarted(stage):
                self._progress.stage(_STAGES[stage])
            case TextPiece(text):
                self._write(text)

    def complete(self, answer: Answer) -> None:
        """Write what is left: a piece that Ctrl-C kept from us is part of the answer all the same."""
        self._write(answer.text[self._written :])

    def _write(self, text: str) -> None:
        self._progress.stop()
        if self._enabled:
            self._line_open = True
            self._written += len(text)  # before the write, which Ctrl-C ends only once the text is under way
            terminal.write_answer(text)

    def close(self) -> None:
        self._progress.stop()
        if self._line_open:
            self._line_open = False
            terminal.write_answer("\n")


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
