"""`sharpv check`: a question of yes or no, whose answer is the exit code."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from math import exp
from typing import TYPE_CHECKING, Annotated

import typer

from sharpv_cli import terminal
from sharpv_cli.commands.ask.answers import STAGES
from sharpv_cli.commands.options import Flags, ProfileOption, VerboseOption, option, takes_settings
from sharpv_cli.commands.preparing import (
    check_model,
    first_after_loading,
    opened,
    read_settings,
    scanned_or_seen,
)
from sharpv_cli.commands.question import read_question
from sharpv_cli.commands.videos import refuse_file, videos_and_question, with_name
from sharpv_cli.errors import ResourceError, UsageError, VideoError
from sharpv_cli.text import address_without_secrets
from sharpv_cli.video import isolated

if TYPE_CHECKING:
    from sharpv_cli.api import Sharpv
    from sharpv_cli.settings import Resolved
    from sharpv_cli.types import Answer

YES, NO = 0, 1
_HINT = 'for example: sharpv check clip.mp4 "is there a red circle?"'


@takes_settings
def check(
    flags: Flags,
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO... QUESTION",
            help="Video files, and a question whose answer is yes or no. With -q all are videos.",
            show_default=False,
        ),
    ],
    question: Annotated[str | None, option("--question -q TEXT", "The question.")] = None,
    threshold: Annotated[float, option("--threshold P", "A yes is at least so likely.", min=0, max=1)] = 0.5,
    profile: ProfileOption = None,
    matching: Annotated[
        bool, option("--files-with-yes -l", "Print the names of those with a yes.", panel="Output")
    ] = False,
    others: Annotated[
        bool, option("--files-with-no -L", "Print the names of those with a no.", panel="Output")
    ] = False,
    quiet: Annotated[bool, option("--quiet", "Print nothing but errors.", panel="Output")] = False,
    stats: Annotated[bool, option("--stats", "The probability of a yes on stderr.", panel="Output")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Ask a question of yes or no about videos; the answer is the exit code: 0 yes, 1 no.

    Nothing is printed about a single video. About several, a line each says `FILE: yes 0.97`, with the probability
    of a yes; -l and -L print names instead. Then exit code 6 says that some could not be asked, 0 that one at
    least has a yes, and 1 that none has. The video is read and nothing is decoded: this takes less time than an
    answer. 70 is a bug; all other exit codes are those of `sharpv ask`.

    \b
    Examples:
      if sharpv check clip.mp4 "is there a red circle?"; then echo yes; fi
      sharpv check clips/*.mp4 "is anybody there?"
      sharpv check -l clips/*.mp4 "is anybody there?" --threshold 0.9
      find . -name '*.mp4' -exec sharpv check {} "is it night?" \\; -print
      ls *.mp4 | xargs sharpv check -L -q "is it night?"
    """
    terminal.set_level(quiet=not verbose, verbose=verbose)
    _require_apart(matching=matching, others=others, quiet=quiet, stats=stats)
    videos, asked = videos_and_question(arguments, asked=question is not None)
    if not videos:
        raise UsageError("a video and a question are needed", hint=_HINT)
    refuse_file("check", asked, videos[0])
    text = read_question(asked, [] if question is None else [question])
    isolated.start()
    resolved = read_settings(flags, profile)
    show = _Show(
        matching=matching,
        others=others,
        lines=len(videos) > 1 and not quiet,
        stats=stats,
        threshold=threshold,
    )
    raise typer.Exit(_check(videos, text, resolved, show))


def _require_apart(*, matching: bool, others: bool, quiet: bool, stats: bool) -> None:
    if matching and others:
        raise UsageError(
            "-l and -L exclude each other", hint="leave out one of them: without both, all are listed"
        )
    if quiet and (matching or others or stats):
        raise UsageError("--quiet goes with neither -l, -L nor --stats", hint="leave it out")


@dataclass(frozen=True, slots=True)
class _Show:
    """What is printed of each answer."""

    matching: bool
    others: bool
    lines: bool
    stats: bool
    threshold: float

    def answer(self, video: str, answer: Answer) -> bool:
        """Print what is wanted; whether it is a yes."""
        likely = answer.choices[0].probability
        yes = likely >= self.threshold
        said = f"{video}: {'yes' if yes else 'no'}"
        if self.matching or self.others:
            if yes == self.matching:
                terminal.write_answer(f"{video}\n")
        elif self.lines:
            terminal.write_answer(f"{said} {likely:.2f}\n")
        if self.stats:
            both = sum(exp(choice.logprob) for choice in answer.choices)
            terminal.show(
                f"{said} {likely:.4f}; {both:.1%} of all answers would be yes or no", soft_wrap=True
            )
        return yes


def _check(videos: list[str], question: str, resolved: Resolved, show: _Show) -> int:
    """The exit code."""
    from sharpv_cli.api import Sharpv

    found = failed = False
    with Sharpv(resolved.settings) as model:
        model.with_pictures = False
        for video in videos:
            try:
                answer = _answer(model, video, question, resolved)
            except (VideoError, UsageError, ResourceError) as error:
                if len(videos) == 1:
                    raise
                terminal.report_error(with_name(error, address_without_secrets(video)))
                failed = True
            else:
                found |= show.answer(address_without_secrets(video), answer)
    return terminal.SOME_FAILED if failed else YES if found else NO


def _answer(model: Sharpv, video: str, question: str, resolved: Resolved) -> Answer:
    from sharpv_cli.api import Stream
    from sharpv_cli.types import YES_OR_NO

    with opened(video, resolved) as local, terminal.Progress() as progress:
        found = scanned_or_seen(local, resolved)
        if not model.is_loaded:
            check_model(resolved)
        with closing(model.events(local, question, *found, YES_OR_NO)) as events:
            first = first_after_loading(events, progress, STAGES)
            return Stream(chain([first], events)).answer
