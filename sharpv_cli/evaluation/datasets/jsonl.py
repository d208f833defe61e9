"""Anyone's questions: JSON lines of `{video, question, answer}`, with `options` for multiple choice.

Optional are `id`, `group`, `start` and `end` (seconds). Videos are named from the file's folder on. The instructions
are LLaVA's for short answers, which lmms-eval uses as well.
"""

from __future__ import annotations

import re
from pathlib import Path

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.collecting import (
    ANSWER_WITH_LETTER,
    Layout,
    checked_options,
    collect,
    folder_of,
    letter_at,
    lettered,
)
from sharpv_cli.evaluation.datasets.dataset import LETTERS, Dataset, Item
from sharpv_cli.tables.entries import Entry, EntryError
from sharpv_cli.tables.reading import read_table
from sharpv_cli.text import shown

_RESULTS = b'{"schema": "sharpv.eval.'
_OTHER_NAMES_OF_OPTIONS = ("option", "choices", "candidates")


def _find(path: Path) -> list[Path]:
    """The file itself, or the only one of its kind in a folder. UsageError where a folder has several."""
    if path.is_file():
        return [path] if path.suffix.lower() == ".jsonl" else []
    found = sorted(file for file in path.glob("*.jsonl") if not _is_ours(file))
    if len(found) > 1:
        names = ", ".join(shown(file.name) for file in found[:5])
        raise UsageError(
            f"'{shown(path)}' holds {len(found)} .jsonl files: {names}", hint="name the one that you mean"
        )
    return found


def _is_ours(file: Path) -> bool:
    """Whether it is a results file that an evaluation has left beside its dataset."""
    with file.open("rb") as stream:
        return stream.read(len(_RESULTS)) == _RESULTS


def _read(path: Path, files: list[Path]) -> Dataset:
    file = files[0]
    entries, problems = read_table(file, folder_of(path))
    return collect(file.stem, entries, lambda entry: _item(file, entry), problems)


def _item(file: Path, entry: Entry) -> Item:
    options = _options(entry)
    start, end = entry.bounds()
    return Item(
        id=entry.label("id") if entry.values.get("id") is not None else f"line-{entry.number}",
        video=_video(file, entry),
        prompt=_prompt(entry.text("question").strip(), options),
        answer=_letter(entry, options) if options else entry.label("answer"),
        scoring="letter" if options else "text",
        group=entry.label("group") if entry.values.get("group") is not None else "all",
        options=options,
        start_sec=start,
        end_sec=end,
    )


def _prompt(question: str, options: tuple[str, ...]) -> str:
    if not options:
        return question  # in the user's own words: what else the model is to be told is `prompt.suffix`
    return f"{question}\n{lettered(options)}\n{ANSWER_WITH_LETTER}"


def _video(file: Path, entry: Entry) -> Path:
    video = entry.text("video")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", video):
        raise EntryError("field 'video' is an address, not a file")
    return file.parent / video


def _options(entry: Entry) -> tuple[str, ...]:
    if entry.values.get("options") is not None:
        return checked_options(tuple(text.strip() for text in entry.texts("options")))
    for name in _OTHER_NAMES_OF_OPTIONS:
        # Otherwise a question with options would silently be asked as an open one.
        if name in entry.values:
            raise EntryError(f"field '{name}' is called 'options' here")
    return ()


def _letter(entry: Entry, options: tuple[str, ...]) -> str:
    """The right option's letter, from its text, its letter or its index. EntryError: none, or not one alone."""
    answer = entry.label("answer")
    if len(set(options)) < len(options):
        raise EntryError("two options are the same")
    by_text = [LETTERS[options.index(answer)]] if answer in options else []
    by_name = [_named(entry, options)] if _is_name(entry) else []
    meant = set(by_text + by_name)
    if len(meant) > 1:
        raise EntryError(f"the answer {answer!r} is one option's text and another one's letter or index")
    if not meant:
        raise EntryError(f"the answer {answer!r} is none of the options, nor a letter or an index of one")
    return meant.pop()


def _is_name(entry: Entry) -> bool:
    """Whether the answer is a number, which is an index, or looks like a letter: `B`, `(B)`, `B.`."""
    answer = entry.values["answer"]
    return not isinstance(answer, str) or re.fullmatch(r"\(?[A-Z]\)?\.?", answer.strip()) is not None


def _named(entry: Entry, options: tuple[str, ...]) -> str:
    answer = entry.values["answer"]
    if isinstance(answer, int):
        return letter_at(answer, options)
    return letter_at(LETTERS.index(entry.label("answer").strip("().")), options)


LAYOUT = Layout(
    name="jsonl",
    expected='a .jsonl file, each line {"video": ..., "question": ..., "answer": ...}, with or without "options"',
    find=_find,
    read=_read,
)
