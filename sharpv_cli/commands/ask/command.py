"""`sharpv ask`: questions about one video."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sharpv_cli import terminal
from sharpv_cli.commands.announcing import announce_store
from sharpv_cli.commands.ask import loop
from sharpv_cli.commands.ask.answers import STAGES, Answers, Manner
from sharpv_cli.commands.ask.order import refuse_file
from sharpv_cli.commands.forming import read_form
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
    takes_form,
    takes_settings,
)
from sharpv_cli.commands.preparing import (
    check_unseen,
    first_after_loading,
    name_demo_model,
    opened,
    read_settings,
    say_settings,
)
from sharpv_cli.commands.question import NO_QUESTION, piped_question, read_questions
from sharpv_cli.errors import UsageError
from sharpv_cli.session import require_own_process
from sharpv_cli.video import isolated

if TYPE_CHECKING:
    from collections.abc import Generator

    from sharpv_cli.seen.recall import Kept
    from sharpv_cli.settings import Resolved
    from sharpv_cli.types import Event
    from sharpv_cli.video.local import LocalVideo
    from sharpv_cli.video.probe import Scan

    Found = tuple[Scan | None, Kept | None]


@takes_settings
@takes_form
def ask(
    flags: Flags,
    wanted: Flags,
    video: VideoArgument,
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="The question; - reads it from stdin.")
    ] = None,
    questions: Annotated[
        list[str] | None, option("--question -q TEXT", "A question; repeat it to ask several.")
    ] = None,
    questions_file: Annotated[
        str | None, option("--questions FILE", "A file with one question per line; - is stdin.")
    ] = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
    stats: Annotated[
        bool | None,
        option(
            "--stats/--no-stats",
            "Chart and statistics on stderr.  [default: when stderr is a terminal]",
            panel="Output",
            show_default=False,
        ),
    ] = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    chart_out: Annotated[
        Path | None,
        option("--chart-out FILE", "Write the chart to FILE.svg, .html, .png, .md or .txt.", panel="Output"),
    ] = None,
    show_settings: ShowSettingsOption = False,
) -> None:
    """Answer questions about a video: the answers on stdout, everything else on stderr.

    Several questions share one look at the video; with --json each gives one line. Without a question, sharpv
    prompts for them on a terminal. Settings that are not given here come from SHARPV_* variables
    (SHARPV_FRAMES=16), the profile, the config file and the defaults, in this order.

    \b
    Examples:
      sharpv ask clip.mp4 "what colour is the circle?"
      sharpv ask talk.mp4 "what is on the slide?" -p llava-ov-7b --start 60
      sharpv ask clip.mp4 -q "what moves?" -q "what colour is it?" --json
      sharpv ask clip.mp4 --questions questions.txt > answers.txt
      sharpv ask clip.mp4 "what moves?" --choices car,person,nothing
      sharpv ask clip.mp4 "what happens?" --prune off --stats
      echo "what moves?" | sharpv ask clip.mp4 - --chart-out chart.svg
    """
    terminal.set_level(quiet=quiet, verbose=verbose)
    if quiet and stats:
        raise UsageError("--quiet and --stats exclude each other", hint="leave out one of them")
    if video == "-" and "-" in (question, questions_file):
        raise UsageError("the video and the question both come from stdin", hint="give one of them as a file")
    refuse_file(question, video)
    asked = read_questions(question, questions or [], questions_file)
    if not asked and loop.possible():
        require_own_process()  # a prompt that waits for somebody to type keeps nobody else waiting
    elif not asked and not (video != "-" and (asked := piped_question())):
        raise NO_QUESTION
    form = read_form(wanted)
    isolated.start()
    resolved = read_settings(flags, profile)
    exports = None
    if chart_out is not None:
        from sharpv_cli.report.export import answer_exports

        exports = answer_exports(chart_out)
        keep_inputs([video, questions_file], [chart_out], resolved)
    if show_settings:
        say_settings(resolved)
    manner = Manner(
        as_json=as_json,
        form=form,
        stream=not as_json and _streams(resolved),
        quiet=quiet,
        stats=stats,
        exports=exports,
        several=len(asked) != 1 or questions_file is not None,
        loop=not asked,
    )
    with opened(video, resolved) as local:
        found = check_unseen(local, resolved)
        name_demo_model(resolved)
        code = _answer(local, found, asked, resolved, manner)
    announce_store(resolved.settings)
    if code:
        raise typer.Exit(code)


def _streams(resolved: Resolved) -> bool:
    """People read as it comes; of programs that write to one pipe, none cuts another one's answer in two."""
    wanted = resolved.settings.stream
    return terminal.stdout_is_terminal() if wanted is None else wanted


def _answer(video: LocalVideo, found: Found, questions: list[str], resolved: Resolved, manner: Manner) -> int:
    """Run the pipeline; the exit code."""
    with terminal.Progress() as progress:
        events = _events(video, found, questions, resolved, manner)
        with closing(events):
            answers = Answers(resolved, manner, progress)
            answers.follow(first_after_loading(events, progress, STAGES), events)
    return answers.exit_code


def _events(
    video: LocalVideo, found: Found, questions: list[str], resolved: Resolved, manner: Manner
) -> Generator[Event, None, None]:
    from sharpv_cli.api import Sharpv

    with Sharpv(resolved.settings) as model:
        if not manner.several:
            yield from model.events(video, questions[0], *found, manner.form)
        else:
            asked = loop.typed_questions() if manner.loop else questions
            yield from model.events_of_all(video, asked, *found, manner.form)
