"""Scoring: which letter or text an answer is taken for. The expected values are written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharpv_cli.evaluation.datasets.dataset import Item, Scoring
from sharpv_cli.evaluation.scoring import is_near, is_right, letter_of, normalised, times_in

ANIMALS = ("the dog", "the cat", "a horse", "two birds")


def item(answer: str, scoring: Scoring, options: tuple[str, ...] = ()) -> Item:
    return Item("1", Path("a.mp4"), "?", answer, scoring, "all", options)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        # What benchmarks ask for, and how models write it.
        ("A", "A"),
        ("b", "B"),
        (" C\n", "C"),
        ("(B)", "B"),
        ("(B", "B"),
        ("C.", "C"),
        ("D)", "D"),
        ("[D]", "D"),
        ("**b**", "B"),
        ("'B'", "B"),
        ("（B）", "B"),
        ("B. the dog", "B"),
        ("B.The dog", "B"),
        ("B: the dog", "B"),
        ("(c) a horse", "C"),
        ("A, because it barks", "A"),
        ("A - it barks", "A"),
        ("A\nBecause it barks", "A"),
        ("D because they fly", "D"),
        ("The answer is D", "D"),
        ("The answer is D.", "D"),
        ("the best answer is: (C)", "C"),
        ("Answer: b", "B"),
        ("The correct option is A.", "A"),
        ("The correct answer is option C", "C"),
        ("The answer is (B), not (A)", "B"),
        ("I would choose B here", "B"),
        ("It must be (D) as they fly", "D"),
        ("\\boxed{C}", "C"),
        # The text of an option.
        ("the dog", "A"),
        ("The dog.", "A"),
        ("dog", "A"),
        ("Horse", "C"),
        ("2 birds", "D"),
        ("A horse", "C"),
        ("It shows a horse on a meadow", "C"),
        ("The answer is the cat", "B"),
        # An article is no letter, nor is a part of a word.
        ("A cat sits there", "B"),
        ("a cat", "B"),
        ("The answer is a horse", "C"),
        # Nothing chosen.
        ("", None),
        ("A rabbit runs", None),
        ("Dad", None),
        ("E", None),
        ("unclear", None),
        ("the dog and the cat", None),
    ],
)
def test_the_letter_of_an_answer(answer: str, letter: str | None) -> None:
    assert letter_of(answer, ANIMALS) == letter


@pytest.mark.parametrize(
    ("answer", "options", "letter"),
    [
        ("they walk away slowly", ("walk", "walk away", "run"), "B"),
        ("No one", ("No", "No one", "Yes"), "B"),
        ("Yes, he does", ("No", "Yes"), "B"),
        ("I", ("x",) * 9, "I"),
        ("I think it is C", tuple(f"option text {n}" for n in range(9)), "C"),
        ("same", ("same", "same", "other"), None),
        ("E. five", ("one", "two", "three", "four", "five"), "E"),
        ("five", ("one", "two", "three", "four", "five"), "E"),
        ("e.g. two", ("one", "two", "three", "four", "five"), "B"),
        ("Gate C", ("Gate C", "Gate B", "Gate A"), "A"),
        ("5", ("one", "two", "three", "four", "five"), "E"),
    ],
)
def test_the_letter_among_other_options(answer: str, options: tuple[str, ...], letter: str | None) -> None:
    assert letter_of(answer, options) == letter


def test_letter_scoring_compares_with_the_items_letter() -> None:
    assert is_right("(B) the cat", item("B", "letter", ANIMALS))
    assert not is_right("(A) the dog", item("B", "letter", ANIMALS))
    assert not is_right("", item("B", "letter", ANIMALS))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Outdoor.", "outdoor"),
        ("the  table", "table"),
        ("A t-shirt", "t shirt"),
        ("two", "2"),
        ("Yes, he is.", "yes"),
        ("no", "no"),
        ("2.5", "2.5"),
        ("1,000", "1000"),
        ("a", "a"),
        ("ＯＫ", "ok"),
        ("man's hat", "mans hat"),
    ],
)
def test_texts_that_are_the_same(answer: str, expected: str) -> None:
    assert is_right(answer, item(expected, "text"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("indoor", "outdoor"),
        ("on the table", "table"),
        ("", "yes"),
        ("no", "yes"),
        ("not yes", "yes"),
        ("yesterday", "yes"),
        ("25", "2.5"),
        ("the", "a"),
        ("12", "2"),
        ("कि", "के"),
    ],
)
def test_texts_that_differ(answer: str, expected: str) -> None:
    assert not is_right(answer, item(expected, "text"))


def test_only_shapes_takes_a_for_an_and_no_other_change() -> None:
    assert is_right("a orange star moves left.", item("an orange star moves left.", "shapes"))
    assert not is_right("An orange star moves left", item("an orange star moves left.", "shapes"))


def test_normalising_is_stable() -> None:
    text = "The  T-Shirt, of An (old) man's: 2.50 or TEN."
    assert normalised(text) == "t shirt of old mans 2.50 or 10"
    assert normalised(normalised(text)) == normalised(text)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("75 s", [75]),
        ("75", [75]),
        ("about 12.5.", [12.5]),
        ("1:15", [75]),
        ("0:01:15", [75]),
        ("1 min 15 s", [75]),
        ("at 1 minute and 15 seconds.", [75]),
        ("after 3m5s", [185]),
        ("1h 2m 3s", [3723]),
        ("2 min, then 30 s", [120, 30]),
        ("between 70 and 80 s", [70, 80]),
        ("12s-14s", [12, 14]),
        ("5 objects at 30 s", [30]),
        ("the red circle", []),
        ("", []),
    ],
)
def test_times_are_read_as_people_and_models_write_them(text: str, times: list[float]) -> None:
    assert times_in(text) == times


def test_a_time_counts_within_its_tolerance_and_a_guess_of_both_ends_does_not() -> None:
    assert is_near("1:02", "60 s", 2.0)
    assert not is_near("1:03", "60 s", 2.0)
    assert not is_near("between 10 and 60 s", "60 s", 2.0)
    assert not is_near("i don't know", "60 s", 2.0)
