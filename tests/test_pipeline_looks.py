"""What a process that stays holds of the clips it looked at: the same answers, and nothing is looked at again."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_model import clip, loaded, recorded_logits, session

from sharpv_cli import digests
from sharpv_cli.api import Sharpv
from sharpv_cli.engine.engine import Engine
from sharpv_cli.errors import ResourceError
from sharpv_cli.pipeline import fitting, opening
from sharpv_cli.pipeline.conveyor import Conveyor
from sharpv_cli.report.document import ask_document
from sharpv_cli.seen.store import Store
from sharpv_cli.settings import Settings
from sharpv_cli.shelf import SHELF, Shelf
from sharpv_cli.types import Answer, Finished, QuestionFailed, Waiting
from sharpv_cli.video.encoding import write_clip

QUESTIONS = ("What moves?", "Where is the red box at the end of the clip, and why?")
NEW = 8


@pytest.fixture(autouse=True)
def _staying(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(SHELF, "places", 3)
    monkeypatch.setattr(digests, "_SETTLED_SEC", 0.0)
    yield
    SHELF.give_up()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return film(tmp_path / "clip.mp4")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The videos that were decoded."""
    seen: list[str] = []
    decode = opening.decode
    monkeypatch.setattr(
        opening, "decode", lambda video, *args: (seen.append(os.fspath(video)), decode(video, *args))[1]
    )
    return seen


def film(path: Path, *, turned: bool = False) -> Path:
    images = clip(12)[1].images
    write_clip(path, images[:, ::-1] if turned else images, fps=6.0)
    return path


def settings(max_pixels: int = 100_000, **groups: Any) -> Settings:
    base: dict[str, Any] = {
        "model": {"id": loaded().info.id},
        "device": "cpu",
        "sampling": {"frames": 6},
        "video": {"max_pixels": max_pixels},
        "generation": {"max_new_tokens": NEW},
    }
    for name, value in groups.items():
        base[name] = {**base[name], **value} if isinstance(base.get(name), dict) else value
    return Settings.model_validate(base)


def ask(video: Path, *questions: str, staying: bool = True, **groups: Any) -> list[Answer]:
    """As one command asks; not `staying`: as one does that has a process of its own."""
    places = SHELF.places
    SHELF.places = places if staying else 0
    try:
        model = Sharpv(settings(**groups))
        model._session = session(model.settings.engine)
        if len(questions) == 1:
            events = list(model.events(video, questions[0]))
        else:
            events = list(model.events_of_all(video, questions))
    finally:
        SHELF.places = places
    assert not [event for event in events if isinstance(event, QuestionFailed)]
    return [event.answer for event in events if isinstance(event, Finished)]


def told(answers: list[Answer]) -> list[dict[str, Any]]:
    """The JSON documents, without what may differ."""
    documents = [ask_document(answer, {}) for answer in answers]
    for document in documents:
        del document["timing"], document["memory"]["peak_bytes"], document["warm"]
    return documents


GROUPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dense": {"visual": {"mode": "off"}, "memory": {"enabled": False}},
    "system": {"prompt": {"system": "Be brief.", "suffix": "One word."}},
    "sampled": {"generation": {"temperature": 1.5, "seed": 7}},
    "contiguous": {"positions": "contiguous"},
}


@pytest.mark.parametrize("case", GROUPS)
def test_a_clip_asked_again_gives_the_same_answers_and_is_not_looked_at(
    case: str, video: Path, decoded: list[str]
) -> None:
    for asked in ((QUESTIONS[0],), (QUESTIONS[1],), QUESTIONS, (QUESTIONS[0],)):
        want = told(ask(video, *asked, staying=False, **GROUPS[case]))
        assert told(ask(video, *asked, **GROUPS[case])) == want
    assert len(decoded) == 4 + 1


def test_what_is_held_is_told_as_what_is_kept_on_disk(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    """So a document tells the same of the second question in a process that stays as in one of its own."""
    monkeypatch.setattr(Store, "of", lambda most_bytes, *_: Store(tmp_path / "seen", most_bytes))
    asked = [ask(video, QUESTIONS[0], seen=seen)[0].seen for seen in ("off", "off", "auto", "off")]
    assert asked == [False, False, True, False]
    assert len(decoded) == 1


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_logits_are_the_same_bits_whenever_it_is_asked(video: Path, engine: str) -> None:
    found = []
    for question, staying in ((0, True), (1, True), (0, True), (0, False), (1, False)):
        with recorded_logits(loaded()) as rows:
            (answer,) = ask(video, QUESTIONS[question], staying=staying, engine=engine)
        assert answer.generated_tokens == NEW
        found.append(torch.stack(rows[-NEW:]))
    first, other, again, cold, cold_other = found
    assert torch.equal(first, cold) and torch.equal(again, cold) and torch.equal(other, cold_other)


def test_where_rounding_could_tell_the_prompt_is_read_whole_again(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In half precision, and by the reference engine."""
    read: list[int] = []
    whole = Engine.prefill
    monkeypatch.setattr(
        Engine, "prefill", lambda self, prompt, **m: (read.append(len(prompt)), whole(self, prompt, **m))[1]
    )
    monkeypatch.setattr(type(session().engine), "always_in_two", False)
    with recorded_logits(loaded()) as rows:
        for staying in (False, True, True):
            ask(video, QUESTIONS[0], staying=staying)
    assert len(read) == 3
    cold, first, again = (torch.stack(rows[start : start + NEW]) for start in (0, NEW, 2 * NEW))
    assert torch.equal(cold, first) and torch.equal(cold, again)


@pytest.mark.parametrize(
    "change",
    [
        {"sampling": {"frames": 5}},
        {"sampling": {"strategy": "fps", "fps": 3.0}},
        {"sampling": {"start": 0.5}},
        {"sampling": {"end": 1.5}},
        {"max_pixels": 10_000},
        {"visual": {"w": 2.0}},
        {"visual": {"scale": 0.5}},
        {"visual": {"min_tokens": 3}},
        {"visual": {"mode": "manual", "k": 0.3}},
        {"visual": {"mode": "off"}},
        {"prompt": {"system": "Be brief."}},
        {"prompt": {"suffix": "One word."}},
        {"positions": "contiguous"},
        {"generation": {"max_new_tokens": NEW - 1}},
        {"engine": "reference"},
    ],
    ids=str,
)
def test_whatever_changes_what_is_read_makes_another_look(
    change: dict[str, Any], video: Path, decoded: list[str]
) -> None:
    ask(video, QUESTIONS[0])
    ask(video, QUESTIONS[0], **change)
    assert len(decoded) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"memory": {"m": 0.9}},
        {"memory": {"enabled": False}},
        {"generation": {"temperature": 1.5, "seed": 3}},
        {"generation": {"stop": "e"}},
        {"keep_warm": "1h", "offline": True},
    ],
    ids=str,
)
def test_what_comes_after_it_may_change(change: dict[str, Any], video: Path, decoded: list[str]) -> None:
    want = told(ask(video, QUESTIONS[0], staying=False, **change))
    ask(video, QUESTIONS[0])
    assert told(ask(video, QUESTIONS[0], **change)) == want
    assert len(decoded) == 2


def test_a_file_that_changed_is_looked_at_again(video: Path, tmp_path: Path, decoded: list[str]) -> None:
    """Written in its place, replaced by one of the same size and time, or touched."""
    ask(video, QUESTIONS[0])
    at = video.stat()
    other = film(tmp_path / "other.mp4", turned=True)
    video.write_bytes(other.read_bytes())
    (changed,) = ask(video, QUESTIONS[0])
    assert np.array_equal(changed.sample.images, ask(other, QUESTIONS[0], staying=False)[0].sample.images)
    os.utime(other, ns=(at.st_atime_ns, at.st_mtime_ns))
    other.replace(video)
    ask(video, QUESTIONS[0])
    os.utime(video)
    ask(video, QUESTIONS[0])
    assert decoded.count(str(video)) == 4


def test_a_file_that_was_written_just_now_is_not_held(
    video: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It might be written again within one tick of its clock."""
    monkeypatch.setattr(digests, "_SETTLED_SEC", 1000.0)
    for _ in range(2):
        ask(video, QUESTIONS[0])
    assert len(decoded) == 2 and not len(SHELF)


def test_a_file_that_changes_meanwhile_is_not_held(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = opening.decode
    monkeypatch.setattr(opening, "decode", lambda path, *args: (decode(path, *args), os.utime(path))[0])
    ask(video, QUESTIONS[0])
    assert not len(SHELF)


def test_it_is_called_by_the_name_that_it_is_asked_by(video: Path, decoded: list[str]) -> None:
    ask(video, QUESTIONS[0])
    by_other_name = video.parent / "." / "x" / ".." / video.name
    (video.parent / "x").mkdir()
    (answer,) = ask(by_other_name, QUESTIONS[0])
    assert answer.video.path == str(by_other_name)
    linked = video.with_suffix(".mov")
    linked.symlink_to(video)
    assert told(ask(linked, QUESTIONS[0])) == told(ask(linked, QUESTIONS[0], staying=False))
    assert decoded == [str(video), str(linked), str(linked)]


@pytest.mark.parametrize("room", [True, False], ids=["room", "no room"])
def test_several_who_ask_at_once_share_one_look_and_none_changes_it_for_another(
    room: bool, video: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """New or held; also where what is shared is not to be held any longer, and each uses up its own."""
    questions = [*QUESTIONS, "Why?", QUESTIONS[0]]
    want = [told(ask(video, question, staying=False)) for question in questions]
    decoded.clear()
    for _ in range(2):
        assert at_once(video, questions) == want
        monkeypatch.setattr(Shelf, "has_room_for", lambda *_: room)
    assert len(decoded) == 1


def test_who_waits_for_a_look_that_fails_looks_itself(video: Path, decoded: list[str]) -> None:
    """One who is interrupted before there is anything to share."""
    model = Sharpv(settings())
    model._session = session()
    first, second = (model.events(video, question) for question in QUESTIONS)
    next(first)
    assert next(second) == next(second) == Waiting()
    first.close()
    answers = [event.answer for event in second if isinstance(event, Finished)]
    assert told(answers) == told(ask(video, QUESTIONS[1], staying=False))


def at_once(video: Path, questions: list[str]) -> list[list[dict[str, Any]]]:
    """As so many commands ask, each a piece of work between steps for all; in the order of their questions."""
    engine = session().together()
    found: dict[int, Answer] = {}

    def work(number: int, question: str) -> Generator[object]:
        model = Sharpv(settings())
        model._session = engine
        for event in model.events(video, question):
            yield event
            if isinstance(event, Finished):
                found[number] = event.answer

    works = [work(number, question) for number, question in enumerate(questions)]
    for _ in Conveyor[object](engine.several).told(lambda _: works.pop(0) if works else None):
        pass
    return [told([found[number]]) for number in range(len(questions))]


def test_a_long_clip_that_came_in_chunks_is_held(
    tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sharpv_cli.pipeline.long.chunks.WHOLE_FRAMES", 4)
    monkeypatch.setattr("sharpv_cli.pipeline.long.chunks.CHUNK_FRAMES", 3)
    path = film(tmp_path / "long.mp4")
    frames = {"sampling": {"frames": 11}}
    for question in (*QUESTIONS, QUESTIONS[0]):
        want = told(ask(path, question, staying=False, **frames))
        assert told(ask(path, question, **frames)) == want
    assert len(decoded) == 3 + 1


def test_another_model_begins_anew(video: Path, decoded: list[str]) -> None:
    ask(video, QUESTIONS[0])
    (held,) = SHELF._held.values()
    held.prompts.clip = held.prompts.clip.asked_again(
        session(attention="eager"), settings(), "clip.mp4", held=False
    )
    ask(video, QUESTIONS[0])
    assert len(decoded) == 2


def test_memory_is_given_up_before_an_answer_is_refused(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(video, QUESTIONS[0])
    free = fitting.available_bytes
    monkeypatch.setattr(fitting, "available_bytes", lambda device: 0 if len(SHELF) else free(device))
    other = film(tmp_path / "other.mp4", turned=True)
    assert ask(other, QUESTIONS[0])
    monkeypatch.setattr(fitting, "available_bytes", lambda device: 0)
    with pytest.raises(ResourceError, match="needs about"):
        ask(other, QUESTIONS[0])


def test_only_the_last_clips_are_held(tmp_path: Path, decoded: list[str]) -> None:
    paths = [film(tmp_path / f"{number}.mp4") for number in range(4)]
    for path in (*paths[:3], paths[0], paths[3], paths[0], paths[1]):
        ask(path, QUESTIONS[0])
        SHELF.fit()
    assert [Path(path).stem for path in decoded] == ["0", "1", "2", "3", "1"]


class _Thing:
    def __init__(self, nbytes: int, free: int | None = 1000) -> None:
        self.nbytes, self._free = nbytes, free

    def free_bytes(self) -> int | None:
        return self._free


def test_files_of_subtitles_are_part_of_what_is_looked_at(video: Path, decoded: list[str]) -> None:
    def words(text: str | None) -> str:
        if text is not None:
            video.with_suffix(".srt").write_text(
                f"1\n00:00:00,000 --> 00:00:09,000\n{text}\n", encoding="utf-8"
            )
        (answer,) = ask(video, QUESTIONS[0], prompt={"subtitles": "auto"})
        assert answer.subtitles is not None
        return answer.subtitles.source

    assert words(None) == ""
    assert words(None) == "" and len(decoded) == 1
    assert words("one two three") == str(video.with_suffix(".srt")) and len(decoded) == 2
    assert words(None) and len(decoded) == 2
    assert words("four") and len(decoded) == 3
    ask(video, QUESTIONS[0])
    assert len(decoded) == 4


def test_the_shelf_takes_a_quarter_of_what_is_free() -> None:
    shelf: Shelf[_Thing] = Shelf()
    shelf.put("nowhere", _Thing(1))
    shelf.fit()
    assert not len(shelf)

    shelf.places = 8
    for name, size in (("a", 100), ("b", 100), ("c", 100)):
        shelf.put(name, _Thing(size))
    shelf.fit()
    assert shelf.get("a") is not None and len(shelf) == 3

    shelf.put("d", _Thing(10, free=1000))  # of 1310 there may be 327
    shelf.fit()
    assert shelf.get("a") is not None
    shelf.put("e", _Thing(10, free=900))  # of 1220 there may be 305, of 1120 then 280
    shelf.fit()
    assert shelf.get("a") is None and len(shelf) == 4

    shelf.put("f", _Thing(9999, free=None))
    shelf.fit()
    assert len(shelf) == 5
    assert shelf.give_up() and not shelf.give_up()
