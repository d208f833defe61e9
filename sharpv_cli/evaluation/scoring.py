"""Whether a model's answer is right: by the letter of an option, by its text, by a time, or as ShapesQA counts.

Letters are found as lmms-eval finds them for these benchmarks (MVBench `mcq_acc`, Video-MME
`extract_characters_regex`, NExT-QA `parse_multi_choice_response`), by one rule for all, with two differences: an
article ("A dog runs") is no letter, and an answer without any letter is wrong instead of a random option.
"""

from __future__ import annotations

import re
import unicodedata

from sharpv_cli.evaluation.datasets.dataset import LETTERS, Item
from sharpv_cli.shapes import questions as shapesqa

_STATED = re.compile(
    r"\b(?:answer|option|choice)\b(?:\s+(?:is|would be|should be))?\s*:?\s*(?:option\s+)?(.+)", re.I | re.S
)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NUMBERS = {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten".split())
}


def is_right(answer: str, item: Item) -> bool:
    """Whether `answer` is the item's, by the item's own scoring."""
    if item.scoring == "letter":
        return letter_of(answer, item.options) == item.answer
    if item.scoring == "time":
        assert item.tolerance_sec is not None
        return is_near(answer, item.answer, item.tolerance_sec)
    if item.scoring == "shapes":
        return shapesqa.is_right(answer, item.answer)
    return _same_text(answer, item.answer)


def letter_of(answer: str, options: tuple[str, ...]) -> str | None:
    """The letter that an answer chooses among `options`, None where it chooses none.

    In this order: the answer begins with a letter ("A", "(B)", "C. the dog"), states one ("The answer is D"), is an
    option's text, has a letter in brackets or on its own, holds the text of one option alone.
    """
    letters = LETTERS[: len(options)]
    text = unicodedata.normalize("NFKC", answer).replace("*", "").strip()
    stated = _STATED.search(text)
    return (
        _leading(text, letters)
        or (_leading(stated[1], letters) if stated else None)
        or _letter_of_text(text, options)
        or _anywhere(text, letters)
        or _only_mentioned(text, options)
    )


def _leading(text: str, letters: str) -> str | None:
    """`B`, `b.`, `(B) the dog`, `B: ...`, `B because ...`; but no article, no `I`, no "e.g."."""
    found = re.match(rf"[\[\"'(]*([{letters}{letters.lower()}])(?!'?\w)(.*)", text, re.S)
    if found is None:
        return None
    letter, rest = found.groups()
    # A sign or the end of the line parts the letter from what follows; so does "B.The dog", but not "e.g.".
    if not rest.strip(" .!?\"')]") or re.match(r"\s*[:,;)\]\"']|\s*\.(?![a-z])|\s+-\s|\s*\n", rest):
        return letter.upper()
    # With more behind it a small letter is a word, as are "A" and "I".
    return letter if letter.isupper() and letter not in "AI" else None


def _letter_of_text(text: str, options: tuple[str, ...]) -> str | None:
    """The letter of the option that `text` is."""
    same = [letter for letter, option in zip(LETTERS, options, strict=False) if _same_text(text, option)]
    return same[0] if len(same) == 1 else None


def _anywhere(text: str, letters: str) -> str | None:
    """The first capital letter in brackets, else the first on its own that is no article and no `I`."""
    if found := re.search(rf"[(\[{{]([{letters}])[)\]}}]", text):
        return found[1]
    found = re.search(rf"(?<![\w'])(?!(?:A|I)\s+\w)([{letters}])(?!'?\w)", text)
    return found[1] if found else None


def _only_mentioned(text: str, options: tuple[str, ...]) -> str | None:
    """The letter of the one option whose words stand in `text`; an option within a mentioned longer one is none."""
    words = f" {normalised(text)} "
    forms = [normalised(option) for option in options]
    mentioned = {form for form in forms if form and f" {form} " in words}
    longest = {m for m in mentioned if not any(f" {m} " in f" {n} " and m != n for n in mentioned)}
    if len(longest) != 1 or forms.count(form := longest.pop()) != 1:
        return None
    return LETTERS[forms.index(form)]


def _same_text(answer: str, expected: str) -> bool:
    """Equal after `normalised`; where yes or no is expected, an answer that begins with it is enough."""
    given, right = normalised(answer), normalised(expected)
    if not right:  # an article or a sign alone: nothing to normalise
        return answer.strip().lower() == expected.strip().lower()
    return given == right or (right in ("yes", "no") and given.split()[:1] == [right])


def normalised(text: str) -> str:
    """Lower case, without punctuation and articles, numbers to ten as digits, single blanks: as VQA's evaluation.

    A point between digits stays ("2.5"), hyphens and slashes part words.
    """
    text = unicodedata.normalize("NFKC", text).lower()
    text = re.sub(r"[-/‐-―]", " ", text)
    text = re.sub(r"(?<!\d)\.|\.(?!\d)", "", text)
    # By category: `\w` lacks the vowel signs of many scripts.
    text = "".join(letter for letter in text if letter == "." or unicodedata.category(letter)[0] not in "PS")
    text = _ARTICLES.sub(" ", text)
    return " ".join(_NUMBERS.get(word, word) for word in text.split())


_CLOCK = re.compile(r"(?<![\d:.])(?:(\d+):)?(\d{1,2}):([0-5]\d(?:\.\d+)?)(?![\d:])")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_AMOUNT = r"(?<![\d.:])(\d+(?:\.\d+)?)"
_UNIT = r"(h(?:ours?|rs?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)(?![a-z])"
_RANGE = re.compile(rf"{_AMOUNT}\s*(?:-|–|to|and)\s*{_AMOUNT}\s*{_UNIT}", re.I)
_MEASURED = re.compile(rf"{_AMOUNT}\s*{_UNIT}", re.I)
_BARE = re.compile(rf"{_AMOUNT}(?![\d:])")


def is_near(answer: str, expected: str, tolerance_sec: float) -> bool:
    """Whether the time that `answer` says is at most so many seconds off; of several that it says, all are."""
    said, (right,) = times_in(answer), times_in(expected)
    return bool(said) and all(abs(time - right) <= tolerance_sec for time in said)


def times_in(text: str) -> list[float]:
    """Times in seconds that a text says: `75 s`, `1:15`, `1 min 15 s`, `0:01:15`, `70 to 80 s`; or bare numbers."""
    times = [
        3600 * float(hours or 0) + 60 * float(minutes) + float(seconds)
        for hours, minutes, seconds in _CLOCK.findall(text)
    ]
    rest = _RANGE.sub(r"\1 \3, \2 \3", _CLOCK.sub(" ", text))
    before, end = (
        0.0,
        -1,
    )  # the unit before, in seconds, and where it ended: a smaller one goes on with the same time
    for found in _MEASURED.finditer(rest):
        unit = _SECONDS[found[2][0].lower()]
        if unit < before and re.fullmatch(r"\s*(?:and\s*)?", rest[end : found.start()]):
            times[-1] += float(found[1]) * unit
        else:
            times.append(float(found[1]) * unit)
        before, end = unit, found.end()
    return times or [float(number) for number in _BARE.findall(rest)]
