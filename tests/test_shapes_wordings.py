"""Held-out wordings are new to the model, ask what the scene answers, and leave the drawn test set as it was."""

from __future__ import annotations

import hashlib
import random
import re
from string import Formatter

import pytest

from sharpv_cli.shapes import offtopic
from sharpv_cli.shapes.clips import sample_clip
from sharpv_cli.shapes.phrasings import WORDINGS
from sharpv_cli.shapes.questions import Question, sample_question
from sharpv_cli.shapes.wordings import held_out_offtopic, reworded, sample_reworded
from sharpv_cli.shapes.world import DIRECTIONS, Scene, sample_scene
from sharpv_cli.training.wordings import _training_offtopic, as_typed, training, unanswerable

_SLOTS = {
    "colour": {"shape"},
    "shape": {"colour"},
    **{kind: {"object"} for kind in ("direction", "moves", "exists", "event", "place")},
    **{kind: set() for kind in ("count", "order_first", "order_last", "which", "describe")},
}
_VOCABULARY = {
    **{slot: offtopic._FILLERS[slot] for slot in ("thing", "action", "place", "topic", "subject")},
    "thing2": offtopic.THINGS,
}


def _plain(text: str) -> str:
    """Without what restyling adds or drops, capitals, punctuation, contractions and the two spellings of colour."""
    text = text.lower().replace("'s ", " is ")
    text = re.sub(r"\{\w+\}", "slot", text).replace("color", "colour")
    text = " ".join(re.sub(r"[^\w\s]", " ", text).split())
    return re.sub(r"^(in the video|please tell me|in this clip|tell me) ", "", text)


# Drawn before wordings could be given from outside: a trained model and cached clips depend on these.
_FROZEN = {
    0: [
        ("moves", "Is the white square moving?", "no"),
        (
            "describe",
            "Please tell me: what happens in the video?",
            "a white square turns green. a cyan square stays still. a blue square appears.",
        ),
    ],
    2: [
        (
            "choice",
            "Which object appears first? (A) the cyan triangle (B) the green cross (C) the orange square "
            "(D) the yellow ring Answer with the letter.",
            "B",
        ),
        ("exists", "Tell me, is there any cyan triangle", "yes"),
    ],
    6: [
        ("exists", "is a yellow square in the video?", "yes"),
        ("place", "where is the yellow square when the video ends?", "bottom right"),
    ],
    7: [
        ("direction", "in what direction is the purple square moving?", "left"),
        ("event", "What does the green square do", "it moves up"),
    ],
}


def _held_out(index: int) -> tuple[list[Question], float]:
    rng = random.Random(f"test:{index}")
    clip = sample_clip(rng)
    return [sample_question(clip.scene, rng) for _ in range(2)], rng.random()


@pytest.mark.parametrize("index", list(_FROZEN))
def test_held_out_questions_are_the_same_as_ever(index: int) -> None:
    assert [(q.type, q.text, q.answer) for q in _held_out(index)[0]] == _FROZEN[index]


def test_the_first_400_held_out_clips_have_the_same_questions_and_draws_as_ever() -> None:
    digest = hashlib.sha256()
    for index in range(400):
        questions, draw = _held_out(index)
        for q in questions:
            digest.update(f"{q.type}|{q.text}|{q.answer}\n".encode())
        digest.update(str(draw).encode())
    assert digest.hexdigest() == "4fb9e3e0ca5c9311acce6a83c48bb2dd8be9143e0042a1d58ca89aa36632808e"


def test_every_type_has_ten_wordings_with_the_slots_it_needs() -> None:
    assert reworded().keys() == WORDINGS.keys() == _SLOTS.keys()
    for kind, slots in _SLOTS.items():
        assert len({_plain(text) for text in reworded()[kind]}) >= 10
        for text in (*reworded()[kind], *WORDINGS[kind]):
            fields = [field for _, field, _, _ in Formatter().parse(text) if field is not None]
            assert set(fields) == slots, text
            assert len(fields) == len(slots), text


def test_no_wording_is_one_of_training() -> None:
    known = {_plain(text) for texts in WORDINGS.values() for text in texts}
    assert not [text for texts in reworded().values() for text in texts if _plain(text) in known]


def test_reworded_questions_have_the_answers_of_the_scene() -> None:
    rng = random.Random("reworded")
    seen: dict[str, int] = {}
    for _ in range(1500):
        scene = sample_scene(rng)
        question = sample_reworded(scene, rng)
        seen[question.type] = seen.get(question.type, 0) + 1
        assert "{" not in question.text
        assert question.answer == _answer(scene, question)
    assert seen.keys() == {kind.split("_")[0] for kind in _SLOTS}
    assert min(seen.values()) > 20


def _answer(scene: Scene, question: Question) -> str:
    """Found from the text alone, apart from what the questions' own code does."""
    text = question.text.lower()
    named = [o for o in scene.objects if o.name in text]
    comers = [o.name for o in sorted(scene.objects, key=lambda o: o.appears_at) if o.motion == "appear"]
    match question.type:
        case "colour":
            [answer] = [o.colour for o in scene.objects if o.kind in text]
        case "shape":
            [answer] = [o.kind for o in scene.objects if re.search(rf"\b{o.colour}\b", text)]
        case "count":
            answer = ["one", "two", "three", "four"][len(scene.objects) - 1]
        case "direction":
            way = (named[0].x1 - named[0].x0, named[0].y1 - named[0].y0)
            answer = max(DIRECTIONS, key=lambda d: way[0] * DIRECTIONS[d][0] + way[1] * DIRECTIONS[d][1])
        case "moves":
            answer = "yes" if (named[0].x0, named[0].y0) != (named[0].x1, named[0].y1) else "no"
        case "exists":
            answer = "yes" if named else "no"
        case "event":
            answer = f"it {named[0].deed}"
        case "place":
            low, right = named[0].y1 > scene.height / 2, named[0].x1 > scene.width / 2
            answer = ("bottom" if low else "top") + (" right" if right else " left")
        case "order":
            # "Before all others", "earliest" and "first" say first; the other list says last, after and latest.
            last = question.text in reworded()["order_last"]
            answer = f"the {comers[-1 if last else 0]}"
        case "which":
            [answer] = [f"the {o.name}" for o in scene.objects if o.motion == "move"]
        case _:
            answer = question.answer
            assert all(f"{o.name} {o.deed}." in answer for o in scene.objects)
    return answer


def test_the_two_ends_of_the_order_are_told_apart() -> None:
    for text in reworded()["order_first"]:
        assert re.search("first|earliest|before", text, re.IGNORECASE), text
    for text in reworded()["order_last"]:
        assert re.search("last|latest|after", text, re.IGNORECASE), text
        assert "first" not in text


def test_an_orange_object_has_its_article() -> None:
    rng = random.Random("article")
    texts = [sample_reworded(sample_scene(rng), rng).text for _ in range(1500)]
    assert any("an orange" in text for text in texts)
    assert not any(re.search(r"\ba orange", text) for text in texts)


def test_200_offtopic_questions_none_of_the_shape_of_a_training_template() -> None:
    assert isinstance(held_out_offtopic(), tuple)
    assert len({_plain(text) or text for text in held_out_offtopic()}) == 200
    patterns = {template: _pattern(template) for template in offtopic._FILLERS["templates"]}
    for text in held_out_offtopic():
        assert not [t for t, pattern in patterns.items() if pattern.fullmatch(_plain(text))], text


def _pattern(template: str) -> re.Pattern[str]:
    """What the template gives, with any single word too where it has a slot."""
    words = _plain(re.sub(r"\{(\w+)\}", r"slot_\1_", template))
    return re.compile(re.sub(r"slot_(\w+?)_", lambda slot: _choices(slot[1]), words))


def _choices(slot: str) -> str:
    return "(?:" + "|".join([r"\w+", *map(re.escape, _VOCABULARY.get(slot, []))]) + ")"


def test_the_module_has_no_other_late_attributes() -> None:
    from sharpv_cli.shapes import wordings

    with pytest.raises(AttributeError, match="no attribute 'ONTOPIC'"):
        _ = wordings.ONTOPIC


def test_no_wording_of_the_test_is_trained() -> None:
    def plain(text: str) -> str:
        return " ".join(re.findall(r"[a-z{}]+", text.lower().replace("colour", "color")))

    trained = {
        plain(text) for source in (WORDINGS, training()) for texts in source.values() for text in texts
    }
    held_out = {plain(text) for texts in reworded().values() for text in texts}
    assert len(trained) > 2500
    assert not trained & held_out


def test_what_training_calls_unanswerable_is_not_of_this_world() -> None:
    rng = random.Random(0)
    drawn = [unanswerable(rng) for _ in range(3000)]
    assert {question.answer for question in drawn} == {"i don't know"}
    assert not any("{" in question.text for question in drawn)
    assert len({question.text for question in drawn}) > 2000
    held_out = {_words(text) for text in held_out_offtopic()}
    assert not held_out & {_words(text) for text in (*(q.text for q in drawn), *_training_offtopic())}


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def test_typed_questions_keep_their_words_but_for_one_slip() -> None:
    rng = random.Random("typed")
    text = "Toward which edge does the ORANGE triangle travel?"
    typed = [as_typed(text, rng) for _ in range(2000)]
    assert 0.55 < typed.count(text) / 2000 < 0.75
    assert 0.1 < sum(one == one.lower() for one in typed) / 2000 < 0.2
    assert 0.1 < sum(not one.endswith("?") for one in typed) / 2000 < 0.2
    slips = [one for one in typed if _words(one) != _words(text)]
    assert 0.05 < len(slips) / 2000 < 0.12
    for one in slips:
        assert sorted(_words(one)) == sorted(_words(text))
        changed = [(a, b) for a, b in zip(_words(one).split(), _words(text).split(), strict=True) if a != b]
        assert [a[0] for a, _ in changed] == [b[0] for _, b in changed]
        assert len(changed) == 1


def test_trained_wordings_fit_their_slots() -> None:
    slots = {key: set(re.findall(r"{\w+}", texts[0])) for key, texts in WORDINGS.items()}
    assert set(training()) == set(WORDINGS)
    for key, texts in training().items():
        assert all(set(re.findall(r"{\w+}", text)) == slots[key] for text in texts), key
