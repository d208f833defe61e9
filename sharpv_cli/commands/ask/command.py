"""`sharpv ask`: questions about videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from sharpv_cli import terminal
from sharpv_cli.commands.ask import loop
from sharpv_cli.commands.ask.asking import Asking
from sharpv_cli.commands.ask.manner import Manner
from sharpv_cli.commands.ask.order import read_words
from sharpv_cli.commands.charts import (
    ChartOutOption,
    OpenOption,
    ThemeOption,
    is_page,
    opened_after,
    page_among,
)
from sharpv_cli.commands.forming import read_form
from sharpv_cli.commands.inputs import keep_inputs
from sharpv_cli.commands.options import (
    Flags,
    JsonOption,
    ProfileOption,
    QuietOption,
    ShowSettingsOption,
    VerboseOption,
    option,
    takes_form,
    takes_settings,
)
from sharpv_cli.commands.preparing import read_settings, say_settings
from sharpv_cli.commands.question import NO_QUESTION, piped_question
from sharpv_cli.errors import UsageError
from sharpv_cli.session import require_own_process
from sharpv_cli.text import shown
from sharpv_cli.video import isolated

if TYPE_CHECKING:
    from sharpv_cli.report.document import Asked
    from sharpv_cli.report.exports import Exports
    from sharpv_cli.report.pages import ThemeName
    from sharpv_cli.settings import Resolved


@takes_settings
@takes_form
def ask(
    flags: Flags,
    wanted: Flags,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO... [QUESTION]",
            help="Video files (- reads one from stdin, a URL needs --allow-url), and last the question (- reads it "
            "from stdin), unless -q or --questions gives it.",
            show_default=False,
        ),
    ],
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
    chart_out: ChartOutOption = None,
    theme: ThemeOption = "light",
    open_page: OpenOption = False,
    show_settings: ShowSettingsOption = False,
) -> None:
    """Answer questions about videos: the answers on stdout, everything else on stderr.

    Several questions share one look at a video; with --json each gives one line. Of several videos, each answer stands
    behind its file's name; for folders and thousands of them there is `sharpv batch`. Without a question, one comes
    from a pipe, and on a terminal sharpv prompts for them. Settings that are not given here come from SHARPV_*
    variables (SHARPV_FRAMES=16), the profile, the config file and the defaults, in this order.

    \b
    Examples:
      sharpv ask clip.mp4 "what colour is the circle?"
      sharpv ask talk.mp4 "what is on the slide?" -p llava-ov-7b --start 60
      sharpv ask clip.mp4 -q "what moves?" -q "what colour is it?" --json
      sharpv ask clip.mp4 --questions questions.txt > answers.txt
      sharpv ask clip.mp4 "what moves?" --choices car,person,nothing
      sharpv ask clip.mp4 "what happens?" --prune off --stats
      sharpv ask clips/*.mp4 "what moves?"
      echo "what moves?" | sharpv ask clip.mp4 --chart-out chart.svg
    """
    terminal.set_level(quiet=quiet, verbose=verbose)
    if quiet and stats:
        raise UsageError("--quiet and --stats exclude each other", hint="leave out one of them")
    given = read_words(words, questions or [], questions_file)
    asked = given.questions
    if not asked and loop.possible():
        require_own_process()  # a prompt that waits for somebody to type keeps nobody else waiting
    elif not asked and not ("-" not in given.videos and (asked := piped_question())):
        raise NO_QUESTION
    form = read_form(wanted)
    isolated.start()
    resolved = read_settings(flags, profile)
    charts = [*(chart_out or [])]
    if charts or open_page:
        _require_one("--open" if open_page else f"--chart-out {shown(charts[0])}", given.videos)
    page = page_among(charts) if open_page else None
    exports = _exports(charts, theme) if charts else None
    keep_inputs([*given.videos, questions_file], charts, resolved)
    if show_settings:
        say_settings(resolved)

    def with_frames(count: int) -> Resolved:
        return read_settings({**flags, "frames": count, "fps": None, "at": None}, profile)

    manner = Manner(
        as_json=as_json,
        form=replace(form, scores=any(map(is_page, charts))),
        stream=not as_json and _streams(resolved),
        quiet=quiet,
        stats=stats,
        exports=exports,
        shares=len(asked) != 1 or questions_file is not None,
        loop=not asked,
        labels=len(given.videos) > 1,
    )
    with opened_after(page):
        code = Asking(resolved, manner, with_frames).answer(given.videos, asked)
    if code:
        raise typer.Exit(code)


def _require_one(option: str, videos: list[str]) -> None:
    """All frames of all videos would have to be held until the last one is answered."""
    if len(videos) > 1:
        raise UsageError(
            f"{option}: a chart is of one video, and there are {len(videos)}",
            hint="leave it out, or ask about one of them",
        )


def _exports(charts: list[str], theme: ThemeName) -> Exports[Sequence[Asked]]:
    from sharpv_cli.report.export import answer_exports

    return answer_exports(charts, theme=theme)


def _streams(resolved: Resolved) -> bool:
    """People read as it comes; of programs that write to one pipe, none cuts another one's answer in two."""
    wanted = resolved.settings.stream
    return terminal.stdout_is_terminal() if wanted is None else wanted
