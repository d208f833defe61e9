"""Clips that come in chunks: the answers of the whole clip, for every family whose frames are encoded apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from events import answer_about
from family_answers import alone, asked, finish
from live_bytes import LiveBytes
from long_clips import ONE_D, QUESTION, TIMES, FakeFrames, chunks_of, clip_for, in_chunks, take_of
from templates import TEMPLATES, templated
from tiny_families import clip as clip_with
from tiny_model import assert_close, recorded_logits

from sharpv_cli.errors import ResourceError, UsageError
from sharpv_cli.metrics import StageClock
from sharpv_cli.pipeline import clip as clips
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.frames import encode, returned
from sharpv_cli.pipeline.long import holding
from sharpv_cli.pipeline.prompts import SharedPrompts
from sharpv_cli.pipeline.selecting import kept_by, scores_of
from sharpv_cli.types import Answer
from sharpv_cli.video.frames import Frames

QUESTIONS = (QUESTION, "  How many boxes are there, and where do they go? ß 日本 🙂", "Why?")
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "off": {"visual": {"mode": "off"}, "memory": {"enabled": False}},
    "manual": {"visual": {"mode": "manual", "k": 0.9, "min_tokens": 2}},
    "some at least": {"visual": {"min_tokens": 3, "scale": 0.4, "w": 0.5}},
    "contiguous": {"positions": "contiguous"},
}


def streamed(of: Clip, question: str, size: int = 4) -> tuple[Answer, torch.Tensor]:
    long = in_chunks(of, size)
    with recorded_logits(of.loaded) as rows:
        return finish(answer_about(long, question), rows)


def assert_same(got: tuple[Answer, torch.Tensor], want: tuple[Answer, torch.Tensor]) -> None:
    (answer, logits), (expected, expected_logits) = got, want
    np.testing.assert_array_equal(answer.keep, expected.keep)
    assert_close(logits, expected_logits)
    assert (answer.text, answer.warnings) == (expected.text, expected.warnings)
    assert (answer.text_tokens, answer.retention) == (expected.text_tokens, expected.retention)
    assert (answer.memory.kv_bytes, answer.memory.kv_dense_bytes, answer.memory.kv_retention) == (
        expected.memory.kv_bytes,
        expected.memory.kv_dense_bytes,
        expected.memory.kv_retention,
    )
    np.testing.assert_array_equal(answer.sample.images, expected.sample.images)


@pytest.mark.parametrize("size", [1, 4, 32])
@pytest.mark.parametrize("family", ONE_D)
def test_the_answer_is_that_of_the_whole_clip(family: str, size: int) -> None:
    of = clip_for(family)
    assert_same(streamed(of, QUESTION, size), alone(of, QUESTION))


@pytest.mark.parametrize("family", ONE_D)
@pytest.mark.parametrize("case", list(CASES)[1:])
def test_in_every_mode(family: str, case: str) -> None:
    of = clip_for(family, **CASES[case])
    assert_same(streamed(of, QUESTION), alone(of, QUESTION))


@pytest.mark.parametrize("family", ONE_D)
def test_several_questions_share_what_is_held(family: str) -> None:
    of = clip_for(family)
    video = SharedPrompts(in_chunks(of, 4))
    for question in QUESTIONS:
        got = asked(video, question, last=question == QUESTIONS[-1])
        assert_same(got, alone(of, question))
        assert got[0].memory.shared_prefix_bytes is not None
        assert (got[0].timing.vision_sec > 0) == (question == QUESTION)
        assert (got[0].timing.decode_sec, got[0].timing.decode_wait_sec) == (
            (0.5, 1e-9) if question == QUESTION else (0, 0)
        )


@pytest.mark.parametrize(
    "kind", ["question first", "both sides", "ends with the video", "depends on the question"]
)
@pytest.mark.parametrize("family", ["llava_onevision", "video_llava", "perception_lm"])
def test_questions_that_share_nothing_are_worded_anew(family: str, kind: str) -> None:
    of = clip_for(family)
    with templated(of.loaded, TEMPLATES[kind]):
        video = SharedPrompts(in_chunks(of, 4))
        for question in QUESTIONS:
            assert_same(asked(video, question), alone(of, question))


def test_a_template_of_the_processors_own_may_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """SmolVLM's stands in transformers: it puts the video first, today."""
    monkeypatch.setattr("sharpv_cli.pipeline.prompts.common_of", lambda *_: None)
    of = clip_for("smolvlm")
    video = SharedPrompts(in_chunks(of, 4))
    for question in QUESTIONS:
        assert_same(asked(video, question), alone(of, question))


Tight = Callable[[Clip, int], int]


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> Tight:
    """Gives models a context with place for so many visual tokens of QUESTION's prompt about a clip."""

    def limit(of: Clip, room: int) -> int:
        context = alone(of, QUESTION)[0].text_tokens + room + of.limit - 1
        monkeypatch.setattr("sharpv_cli.models.loading.usable_context", lambda _config: context)
        return context

    return limit


@pytest.mark.parametrize("family", ONE_D)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_what_the_context_leaves_no_room_for_is_dropped_on_the_way(
    family: str, part: float, tight: Tight
) -> None:
    of = clip_for(family)
    kept = alone(of, QUESTION)[0].visual_kept
    tight(of, max(int(part * kept), len(TIMES)))
    want = alone(of, QUESTION)
    assert ("scale was lowered" in want[0].warnings[0]) == (want[0].visual_kept < kept)
    assert_same(streamed(of, QUESTION, size=2), want)


def test_a_shorter_question_keeps_what_it_would_alone(tight: Tight) -> None:
    """The first question leaves less room than those after it."""
    of = clip_for("llava_onevision")
    kept = alone(of, QUESTION)[0].visual_kept
    tight(of, kept * 3 // 4)
    long = f"{QUESTION} Now?"
    video = SharedPrompts(in_chunks(of, 2))
    for question in (long, "Why?", QUESTION):
        assert_same(asked(video, question), alone(of, question))
    assert alone(of, long)[0].visual_kept < alone(of, "Why?")[0].visual_kept


def test_no_more_is_held_than_may_be_kept(monkeypatch: pytest.MonkeyPatch, tight: Tight) -> None:
    counts: list[int] = []
    add = holding.HeldTokens.add

    def counted(self: holding.HeldTokens, chunk: Any) -> None:
        add(self, chunk)
        counts.append(self.count)

    monkeypatch.setattr(holding.HeldTokens, "add", counted)
    of = clip_for("llava_onevision", tuple(t / 2 for t in range(80)))
    tight(of, 90)
    got = streamed(of, QUESTION, size=4)[0]
    beyond = (
        of.loaded.context - of.limit + 1 - 80 * 16
    )  # tokens after the last visual one are not counted as text
    assert max(counts) <= (90 + 40) * 5 / 4, beyond
    assert 80 <= got.visual_kept <= 90


@pytest.mark.parametrize("lag", [0, 1])
def test_tokens_may_be_taken_out_a_chunk_late(lag: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on CUDA; here without a wait that it would save."""
    made = holding.HeldTokens.__init__

    def late(self: holding.HeldTokens, *args: Any) -> None:
        made(self, *args)
        self._lag = lag

    monkeypatch.setattr(holding.HeldTokens, "__init__", late)
    of = clip_for("video_llava")
    assert_same(streamed(of, QUESTION, size=2), alone(of, QUESTION))


@pytest.mark.parametrize("mode", ["off", "manual"])
def test_what_cannot_fit_is_refused_as_soon_as_that_is_known(mode: str, tight: Tight) -> None:
    visual: dict[str, Any] = {"mode": mode, "k": 0.1}
    of = clip_for("llava_onevision", visual=visual)
    tight(of, 40)
    with pytest.raises(UsageError) as whole:
        alone(of, QUESTION)
    long = in_chunks(of, 2)
    with pytest.raises(UsageError) as refused:
        list(answer_about(long, QUESTION))
    assert refused.value.hint == whole.value.hint
    if mode == "off":
        assert str(refused.value) == str(whole.value)
        assert not long.frames.coming.touched
    else:
        assert "more than" in str(refused.value)
        assert next(long.frames.coming._items, None) is not None, "it went on to the end"


def test_damage_on_the_way_begins_anew() -> None:
    of = clip_for("llava_onevision")
    _, other = clip_with(tuple(t / 3 for t in range(9)))
    chunks = chunks_of(of.sample, 4)
    frames = FakeFrames([*chunks[:2], take_of(of.info, other), *chunks_of(other, 4)])
    long = replace(of, frames=Frames.announced(take_of(of.info, of.sample), frames))
    with recorded_logits(of.loaded) as rows:
        got = finish(answer_about(long, QUESTION), rows)
    assert_same(got, alone(replace(of, frames=Frames(of.info, other)), QUESTION))
    assert got[0].sample.timestamps_sec == other.timestamps_sec


def test_a_failure_after_frames_were_taken_is_that_of_every_question(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def full(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        return capture(*args)

    capture = clips.capture
    monkeypatch.setattr(clips, "capture", full)
    video = SharedPrompts(in_chunks(clip_for("llava_onevision"), 4))
    for _ in range(2):
        with pytest.raises(ResourceError, match="out of memory"):
            asked(video, QUESTION)
    assert len(calls) == 2


def test_a_question_that_is_refused_leaves_the_frames_to_the_next() -> None:
    of = clip_for("llava_onevision")
    video = SharedPrompts(in_chunks(of, 4))
    with pytest.raises(UsageError, match="holds '<video>'"):
        asked(video, "What is <video>?")
    assert_same(asked(video, QUESTION), alone(of, QUESTION))


def test_a_chunk_is_scored_as_in_the_whole_clip() -> None:
    of = clip_for("llava_onevision")
    whole = returned(encode(of, QUESTION, StageClock()))
    encoded = returned(encode(in_chunks(of, 3), QUESTION, StageClock()))
    want = scores_of(whole.whole, of.settings.visual)
    assert encoded.scores is not None and want is not None
    for name in ("importance", "ratio", "spatial", "temporal"):
        torch.testing.assert_close(getattr(encoded.scores, name), getattr(want, name), rtol=0, atol=1e-5)
    kept = (kept_by(scores, of.settings.visual, whole.whole.slots) for scores in (want, encoded.scores))
    assert torch.equal(*kept)


def test_memory_grows_with_what_is_kept_and_not_with_frames() -> None:
    peaks = {}
    for frames in (64, 600):
        of = clip_for("llava_onevision", tuple(t / 2 for t in range(frames)), visual={"scale": 0.01})
        long = in_chunks(of, 32)
        with LiveBytes() as live:
            encoded = returned(encode(long, QUESTION, StageClock()))
        kept = encoded.whole.embeds.nbytes + 4 * encoded.whole.slots.nbytes * 4
        peaks[frames] = live.peak - kept
    pixels = 3 * 56 * 56 * 4 * 600
    assert peaks[600] < peaks[64] + pixels / 10
