"""The 4,000 held-out questions of docs/results.md: every phrasing, codec, size and aspect ratio of the world."""

from __future__ import annotations

import re
from itertools import product

import pytest

from sharpv_cli.evaluation.datasets.shapes import held_out
from sharpv_cli.shapes.clips import Clip
from sharpv_cli.shapes.phrasings import WORDINGS
from sharpv_cli.shapes.questions import QUESTION_TYPES, Question


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Clip, list[Question]]]:
    return [held_out(index) for index in range(2000)]


def test_every_codec_container_and_quality(drawn: list[tuple[Clip, list[Question]]]) -> None:
    files = {(clip.codec, clip.suffix, clip.quality) for clip, _ in drawn}
    suffixes = {"h264": (".mp4", ".mkv"), "vp9": (".webm", ".mkv"), "mpeg4": (".avi", ".mp4")}
    kinds = [(codec, suffix) for codec, both in suffixes.items() for suffix in both]
    assert files == {(*kind, quality) for kind, quality in product(kinds, ("high", "medium", "low"))}


def test_sizes_rates_and_lengths_reach_their_bounds(drawn: list[tuple[Clip, list[Question]]]) -> None:
    clips = [clip for clip, _ in drawn]
    sides = [side for clip in clips for side in (clip.width, clip.height)]
    assert (min(sides), max(sides)) == (96, 480)
    ratios = [clip.width / clip.height for clip in clips]
    assert min(ratios) == pytest.approx(9 / 16, abs=0.02)
    assert max(ratios) == pytest.approx(16 / 9, abs=0.04)
    assert {clip.fps for clip in clips} == set(range(8, 31))
    lengths = [clip.duration_sec for clip in clips]
    assert 2 <= min(lengths) < 2.05
    assert 7.95 < max(lengths) <= 8


def test_every_phrasing_of_every_type(drawn: list[tuple[Clip, list[Question]]]) -> None:
    questions = [question for _, asked in drawn for question in asked]
    assert len(questions) == 4000
    assert {question.type for question in questions} == set(QUESTION_TYPES)
    texts = [plain(question.text) for question in questions]
    for wording in (wording for wordings in WORDINGS.values() for wording in wordings):
        pattern = re.compile(re.sub(r"\\{\w+\\}", ".+", re.escape(plain(wording))))
        assert any(pattern.search(text) for text in texts), wording


def plain(text: str) -> str:
    return text.lower().rstrip("?.")
