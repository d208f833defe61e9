"""Several questions about one video: the same answers as one at a time, from one look at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from events import answer, answer_about, ask_all
from templates import SHARED, TEMPLATES, templated
from tiny_checkpoint import LAYERS
from tiny_model import clip, folder, hook_count, loaded, recorded_logits, session

from sharpv_cli.errors import UsageError
from sharpv_cli.pipeline import opening
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.prompts import SharedPrompts
from sharpv_cli.settings import Settings
from sharpv_cli.types import Answer, Event, Finished, QuestionFailed, QuestionStarted, StageStarted, TextPiece
from sharpv_cli.video.encoding import write_clip
from sharpv_cli.video.frames import Frames

NEW = 12
QUESTIONS = (
    "What moves?",
    "  Where is the red box at the end of the clip, and why?",
    "ß 日本 🙂",
    "1 2 3",
    "?",
)
CASES: dict[str, dict[str, Any]] = {
    "both": {},
    "visual": {"memory": {"enabled": False}},
    "memory": {"visual": {"mode": "off"}, "memory": {"m": 0.3}},
    "off": {"visual": {"mode": "off"}, "memory": {"enabled": False}},
    "manual": {"visual": {"mode": "manual", "k": 0.3}},
    "contiguous": {"positions": "contiguous"},
    "sampling": {"generation": {"max_new_tokens": NEW, "temperature": 1.5, "seed": 7}},
    "system and suffix": {"prompt": {"system": "Be brief.", "suffix": "One word."}},
}


def settings(attention: str = "sdpa", **groups: Any) -> Settings:
    model = {"id": str(folder()), "attention": attention}
    return Settings.model_validate(
        {"model": model, "device": "cpu", "generation": {"max_new_tokens": NEW}} | groups
    )


def shared(**groups: Any) -> SharedPrompts:
    max_positions = groups.pop("max_positions", 4096)
    frames = groups.pop("frames", 6)
    attention = groups.pop("attention", "sdpa")
    of = session("auto", attention, max_positions)
    return SharedPrompts(Clip(of, Frames(*clip(frames)), settings(attention, **groups)))


def asked(video: SharedPrompts, question: str, *, last: bool = False) -> tuple[Answer, torch.Tensor]:
    """The answer, and the logits of each of its tokens [n, vocabulary], also of the one that ends it."""
    with recorded_logits(video.clip.loaded) as rows:
        events = list(answer_about(video, question, last=last))
    assert isinstance(events[-1], Finished)
    got = events[-1].answer
    return got, torch.stack(rows[-(got.generated_tokens + (got.finish_reason == "stop")) :])


def alone(clip_: Clip, question: str) -> tuple[Answer, torch.Tensor]:
    with recorded_logits(clip_.loaded) as rows:
        events = list(answer(clip_.session, clip_.info, clip_.sample, question, clip_.settings))
    assert isinstance(events[-1], Finished)
    return events[-1].answer, torch.stack(rows)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("case", CASES)
def test_each_answer_is_the_one_that_the_question_gets_alone(case: str, attention: str) -> None:
    video = shared(attention=attention, **CASES[case])
    for question in QUESTIONS:
        want, want_logits = alone(video.clip, question)

        got, got_logits = asked(video, question, last=question == QUESTIONS[-1])

        assert got.text == want.text
        assert got.generated_tokens == want.generated_tokens
        assert (got_logits - want_logits).abs().max() <= 1e-5 * want_logits.abs().max()
        np.testing.assert_array_equal(got.keep, want.keep)
        assert got.text_tokens == want.text_tokens
        assert [layer.kv_entries for layer in got.layers] == [layer.kv_entries for layer in want.layers]
        assert [layer.visual_kv_kept for layer in got.layers] == [
            layer.visual_kv_kept for layer in want.layers
        ]
        assert (got.memory.kv_bytes, got.memory.kv_retention) == (
            want.memory.kv_bytes,
            want.memory.kv_retention,
        )


def test_the_cases_are_no_empty_ones() -> None:
    """Some layers are discarded and others not, and the questions get different answers."""
    video = shared()
    answers = [asked(video, question)[0] for question in QUESTIONS]

    assert 0 < sum(layer.visual_kv_kept for layer in answers[0].layers) < LAYERS
    assert len({got.text for got in answers}) > 1


def test_the_video_is_looked_at_once() -> None:
    video, towers = shared(), []
    tower = video.clip.loaded.model.base_model.vision_tower
    hook = tower.register_forward_hook(lambda *_: towers.append(1))
    try:
        first, *others = [asked(video, question)[0] for question in QUESTIONS]
    finally:
        hook.remove()

    assert towers == [1]
    assert first.timing.vision_sec > 0
    assert all(got.timing.vision_sec == 0 for got in others)


def test_what_is_shared_is_counted_and_gone_after_the_last() -> None:
    video = shared()
    first, _ = asked(video, QUESTIONS[0])
    again, _ = asked(video, QUESTIONS[1])
    last, _ = asked(video, QUESTIONS[2], last=True)

    assert first.memory.shared_prefix_bytes
    entry = 2 * 2 * 16 * 4  # keys and values, 2 heads of 16, float32
    assert first.memory.shared_prefix_bytes % (LAYERS * entry) == 0
    assert first.memory.shared_prefix_bytes > LAYERS * first.visual_kept * entry
    assert first.memory.shared_prefix_bytes == again.memory.shared_prefix_bytes
    assert last.memory.shared_prefix_bytes == first.memory.shared_prefix_bytes
    assert video._common is None
    assert video._prefix is None
    assert alone(video.clip, QUESTIONS[0])[0].memory.shared_prefix_bytes is None


def test_no_hook_stays() -> None:
    before = hook_count(loaded())
    asked(shared(), QUESTIONS[0])
    assert hook_count(loaded()) == before


def test_a_question_too_long_for_the_context_keeps_what_it_would_keep_alone() -> None:
    """SharpV keeps fewer tokens for the long one only, which then has a prefix of its own."""
    whole = asked(shared(frames=8), "Short?")[0]
    context = whole.text_tokens + whole.visual_kept + NEW + 2
    video = shared(frames=8, max_positions=context)
    long = "Is it so short?"
    for question in ("Short?", long, "Short?"):
        want, _ = alone(video.clip, question)

        got, _ = asked(video, question)

        assert (got.text, got.warnings) == (want.text, want.warnings)
        np.testing.assert_array_equal(got.keep, want.keep)
    assert alone(video.clip, long)[0].visual_kept < whole.visual_kept


@pytest.mark.parametrize("kind", TEMPLATES)
def test_each_question_gets_its_own_prompt_whatever_the_template_does(kind: str) -> None:
    with templated(loaded(), TEMPLATES[kind]):
        video = shared()
        for question in QUESTIONS:
            want, want_logits = alone(video.clip, question)

            got, logits = asked(video, question, last=question == QUESTIONS[-1])

            assert got.text == want.text
            assert (logits - want_logits).abs().max() <= 1e-5 * want_logits.abs().max()
            if kind in SHARED:
                assert got.memory.shared_prefix_bytes
            elif question != QUESTIONS[0] and kind != "depends on the question":
                assert got.memory.shared_prefix_bytes is None
                assert torch.equal(logits, want_logits)
    assert len({answer.text for answer in (alone(video.clip, question)[0] for question in QUESTIONS)}) > 1


def test_between_questions_that_are_read_alone_others_go_on_sharing() -> None:
    with templated(loaded(), TEMPLATES["depends on the question"]):
        video = shared()
        for question, same in (("what moves?", True), ("is there a box?", False), ("where?", True)):
            want, _ = alone(video.clip, question)

            got, _ = asked(video, question)

            assert got.text == want.text
            assert (got.memory.shared_prefix_bytes is not None) == same


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "moving.mp4"
    write_clip(path, clip(12)[1].images, fps=6.0)
    return path


def finished(events: list[Event]) -> list[Answer]:
    return [event.answer for event in events if isinstance(event, Finished)]


def test_the_events_of_several_questions(file: Path) -> None:
    events = list(ask_all(file, QUESTIONS[:2], settings()))

    starts = [event for event in events if isinstance(event, QuestionStarted)]
    assert [(event.number, event.question) for event in starts] == [(1, QUESTIONS[0]), (2, QUESTIONS[1])]
    first, second = finished(events)
    assert (first.question, second.question) == QUESTIONS[:2]
    pieces = events[events.index(starts[1]) :]
    assert "".join(event.text for event in pieces if isinstance(event, TextPiece)) == second.text
    assert min(first.timing.load_sec, first.timing.decode_sec) > 0
    assert (second.timing.load_sec, second.timing.decode_sec, second.timing.preprocess_sec > 0) == (
        0,
        0,
        True,
    )
    assert second.timing.total_sec < first.timing.total_sec


def test_a_question_without_an_answer_does_not_end_the_others(file: Path) -> None:
    events = list(ask_all(file, ["what is <video>?", "what moves?"], settings()))

    (failed,) = [event for event in events if isinstance(event, QuestionFailed)]
    assert failed.number == 1
    assert isinstance(failed.error, UsageError)
    assert [got.question for got in finished(events)] == ["what moves?"]


def test_questions_may_come_one_after_the_other(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is asked for when the answer before it is complete; the video is decoded once."""
    decoded, seen = [], []
    decode = opening.decode
    monkeypatch.setattr(opening, "decode", lambda *args: decoded.append(1) or decode(*args))

    def typed() -> Iterator[str]:
        for question in ("what moves?", "where?"):
            seen.append(f"asked {question}")
            yield question

    for event in ask_all(file, typed(), settings()):
        if isinstance(event, Finished):
            seen.append(f"answered {event.answer.question}")

    assert seen == ["asked what moves?", "answered what moves?", "asked where?", "answered where?"]
    assert decoded == [1]


def test_after_an_interrupted_answer_the_next_question_is_answered(file: Path) -> None:
    stream = ask_all(file, ["what moves?", "where?"], settings())
    next(event for event in stream if isinstance(event, TextPiece))

    rest = [stream.throw(KeyboardInterrupt()), *stream]

    first, second = finished(rest)
    assert (first.finish_reason, second.finish_reason) == ("interrupted", "length")
    assert [event.stage for event in rest if isinstance(event, StageStarted)] == ["prefill", "generate"]
    whole = finished(list(ask_all(file, ["where?"], settings())))
    assert second.text == whole[0].text
