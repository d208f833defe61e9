"""The questions: from the argument, `-q`, a file, or stdin."""

from __future__ import annotations

import select
import sys

from sharpv_cli.errors import UsageError
from sharpv_cli.session import require_own_process
from sharpv_cli.smallfile import decoded, read_text, too_long
from sharpv_cli.text import shown

_HINT = 'for example: sharpv ask clip.mp4 "what moves?"'
NO_QUESTION = UsageError("no question", hint=_HINT)
_FILE_HINT = "give a UTF-8 text file with one question a line"
_MOST_BYTES = 16 << 20
_PATIENCE_SEC = 0.2


def read_question(argument: str | None, options: list[str]) -> str:
    """The one question, stripped; `-` as the argument reads all of stdin (UTF-8).

    Raises UsageError when there is none, more than one, or nothing in it.
    """
    questions = read_questions(argument, options, None)
    if not questions:
        raise NO_QUESTION
    if len(questions) > 1:
        quoted = ", ".join(repr(question) for question in questions)
        raise UsageError(f"more than one question: {quoted}", hint="ask one")
    return questions[0]


def read_questions(argument: str | None, options: list[str], file: str | None) -> list[str]:
    """All questions in order, stripped: the argument's, those of `-q`, and the lines of `file`.

    `-` is stdin: as the argument one question, as the file one a line. Empty lines of a file are skipped.
    Raises UsageError for a question that is empty or too long, a file that cannot be read or holds none, and two
    readers of stdin.
    """
    from sharpv_cli.settings.limits import require_length

    if argument == "-" and file == "-":
        raise UsageError("QUESTION - and --questions - both read stdin", hint="leave out one of them")
    given = [_stdin() if argument == "-" else _utf8(argument)] if argument is not None else []
    given += [_utf8(option) for option in options]
    if not all(question.strip() for question in given):
        raise UsageError("the question is empty", hint=_HINT)
    asked = [question.strip() for question in given] + ([] if file is None else _lines(file))
    for number, question in enumerate(asked, start=1):
        require_length(question, "the question" if len(asked) == 1 else f"question {number}")
    return asked


def piped_question() -> list[str]:
    """What comes through stdin as the one question; none from a terminal, or where there is nothing in it."""
    if sys.stdin is None or sys.stdin.isatty():
        return []
    return read_questions(None, [text], None) if (text := _stdin()).strip() else []


def _lines(file: str) -> list[str]:
    text = _stdin() if file == "-" else _read(file)
    questions = [line.strip() for line in text.split("\n") if line.strip()]
    if not questions:
        raise UsageError(f"{'stdin' if file == '-' else shown(file)} holds no question", hint=_FILE_HINT)
    return questions


def _read(file: str) -> str:
    return read_text(file, most=_MOST_BYTES, name=f"--questions {shown(file)}", hint=_FILE_HINT)


def _stdin() -> str:
    """Read as it is, not by the name /dev/stdin: what is a socket, or another user's, has no name to be opened by."""
    if sys.stdin is None:
        raise UsageError("the question was to come from stdin, which is closed", hint=_HINT)
    name = "the question on stdin"
    if not select.select([sys.stdin.buffer], [], [], _PATIENCE_SEC)[0]:
        require_own_process()  # whoever still thinks about it keeps nobody else waiting
    content = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise too_long(name, _MOST_BYTES, hint=_FILE_HINT)
    return decoded(content, name=name, hint=_HINT)


def _utf8(argument: str) -> str:
    """Bytes of an argument that are no UTF-8 arrive as lone surrogates, which no tokenizer takes."""
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"the question is not UTF-8 text: {argument!r}", hint=_HINT) from error
    return argument
