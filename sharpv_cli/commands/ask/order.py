"""What each word behind `sharpv ask` is: a video, or the question."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass

from sharpv_cli.commands.question import read_questions
from sharpv_cli.commands.videos import refuse_file, videos_and_question
from sharpv_cli.errors import UsageError
from sharpv_cli.text import shown


@dataclass(frozen=True, slots=True)
class Given:
    """What is asked about, and what is asked; no question where none was given."""

    videos: list[str]
    questions: list[str]


def read_words(words: list[str], options: list[str], file: str | None) -> Given:
    """Videos, and last the question; with `options` (`-q`) or a `file` of questions only what can be no video is one.

    Raises UsageError for words in each other's place, which FFmpeg or the model would make no sense of, for two readers
    of stdin, and what `read_questions` raises.
    """
    videos, question = list(words), None
    if len(words) > 1:
        videos, question = videos_and_question(words, asked=bool(options) or file is not None)
    _refuse_second_reader(videos, question, file)
    if question is not None:
        refuse_file("ask", question, videos[0])
        _refuse_loose_words(videos, question)
    return Given(videos, read_questions(question, options, file))


def _refuse_second_reader(videos: list[str], question: str | None, file: str | None) -> None:
    if videos.count("-") > 1:
        raise UsageError("two videos come from stdin", hint="give one of them as a file")
    if "-" in videos and "-" in (question, file):
        raise UsageError("the video and the question both come from stdin", hint="give one of them as a file")


def _refuse_loose_words(videos: list[str], question: str) -> None:
    """A question without quotes, of which all words but the last would be videos."""
    loose = [
        word
        for word in videos[1:]
        if not (os.path.lexists(word) or "." in word or "/" in word or word == "-")
    ]
    if loose:
        quoted = shlex.join(["sharpv", "ask", videos[0], " ".join([*videos[1:], question])])
        raise UsageError(
            f"no such file: {shown(loose[0])}",
            hint=f"a question of several words needs quotes: {shown(quoted)}",
        )
