"""The question: from the argument, `-q`, or stdin."""

from __future__ import annotations

import sys

from sharpv_cli.errors import UsageError

_HINT = 'for example: sharpv ask clip.mp4 "what moves?"'


def read_question(argument: str | None, options: list[str]) -> str:
    """The one question, stripped; `-` as the argument reads all of stdin (UTF-8).

    Raises UsageError when there is none, more than one, or nothing in it.
    """
    given = [*([] if argument is None else [argument]), *options]
    if not given:
        raise UsageError("no question", hint=_HINT)
    if len(given) > 1:
        quoted = ", ".join(repr(question) for question in given)
        raise UsageError(f"more than one question: {quoted}", hint="ask them one at a time")
    question = _stdin() if argument == "-" else _utf8(given[0])
    if not question.strip():
        raise UsageError("the question is empty", hint=_HINT)
    return question.strip()


def _stdin() -> str:
    if sys.stdin is None:
        raise UsageError("the question was to come from stdin, which is closed", hint=_HINT)
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the question on stdin is not UTF-8 text (byte {error.start})", hint=_HINT
        ) from error


def _utf8(argument: str) -> str:
    """Bytes of an argument that are no UTF-8 arrive as lone surrogates, which no tokenizer takes."""
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"the question is not UTF-8 text: {argument!r}", hint=_HINT) from error
    return argument
