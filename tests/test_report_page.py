"""The report page as a file: what is in it, that nothing foreign becomes markup, and how large it may grow."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from make_answer import make_answer, with_scores

from sharpv_cli.report.document import Asked
from sharpv_cli.report.page import report_page
from sharpv_cli.types import Answer

ABOUT = {"name": "tiny", "visual": {"scale": 1.0, "mode": "adaptive"}}


def page_of(*answers: Answer) -> str:
    return report_page([Asked(answer, ABOUT) for answer in answers]).decode()


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def numbers(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def test_it_is_one_file_that_may_load_nothing() -> None:
    page = page_of(with_scores(make_answer(4)))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    style, script = (re.search(rf"<{tag}>(.*?)</{tag}>", page, re.S)[1] for tag in ("style", "script"))
    for kind, text in (("style", style), ("script", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert not re.search(r"https?:|@import|url\(|innerHTML|insertAdjacent|eval\(|document\.write", page)
    assert not re.search(r"<(link|iframe|img|object|base|form)\b", page)


@pytest.mark.parametrize(
    "hostile", ["</script><script>alert(1)</script>", "<!--<script>", "{{DATA}} {{STYLE}}"]
)
def test_foreign_text_is_data_and_cannot_end_it(hostile: str) -> None:
    answer = make_answer(2, question=hostile, text=hostile)
    answer = replace(answer, video=replace(answer.video, path=f"{hostile}.mp4"), warnings=(hostile,))
    page = page_of(answer)
    assert page.count("<script") == 2
    told = data_of(page)["clips"][0]["answers"][0]
    assert dict(told["told"]) == {"question": hostile, "answer": hostile, "video": f"{hostile}.mp4"}
    assert told["warnings"] == [hostile]


def test_lone_surrogates_and_controls_are_kept_as_data() -> None:
    odd = "a\x00\x1b[2J\udcff\u2028\u202eb"
    assert data_of(page_of(make_answer(1, question=odd)))["clips"][0]["answers"][0]["question"] == odd


@pytest.mark.parametrize("tokens", [64, 256, 300])
def test_scores_ranks_and_patches_are_those_of_the_answer(tokens: int) -> None:
    answer = with_scores(make_answer(5, tokens=tokens), scale=1.3, w=0.5)
    clip = data_of(page_of(answer))["clips"][0]
    told, scores = clip["scores"], answer.scores
    rank = numbers(told["rank"], "u1" if tokens <= 256 else "<u2").reshape(5, tokens)
    order = np.argsort(-scores.importance, axis=1, kind="stable")
    assert (np.take_along_axis(rank, order, axis=1) == np.arange(tokens)).all()
    for name in ("spatial", "temporal"):
        rounded = numbers(told[name], "<u2").reshape(5, tokens) / (told["levels"] / 2)
        assert np.abs(rounded - getattr(scores, name)).max() < 0.00002
    assert (numbers(told["ratio"], "<f4") == scores.ratio).all()
    bits = np.unpackbits(numbers(clip["kept_bits"], "u1"))[: 5 * tokens].reshape(5, tokens)
    assert (bits == answer.keep).all()
    assert clip["kept"] == [frame.kept for frame in answer.retention]
    assert (told["scale"], told["w"], 1.3 in told["scales"]) == (1.3, 0.5, True)


def test_questions_about_the_same_frames_share_them() -> None:
    first = with_scores(make_answer(3))
    second = replace(first, question="Where?", text="left")
    other = with_scores(make_answer(2))
    clips = data_of(page_of(first, second, other))["clips"]
    assert [len(clip["answers"]) for clip in clips] == [2, 1]
    assert [len(clip["pictures"]) for clip in clips] == [3, 2]


def noise(frames: int, size: tuple[int, int] = (36, 48), kinds: int = 8) -> np.ndarray:
    """Frames that no picture format makes small; a few of them, over and over."""
    few = np.random.default_rng(2).integers(0, 256, (kinds, *size, 3), dtype=np.uint8)
    return few[np.arange(frames) % kinds]


def sized(frames: int, tokens: int, **size: object) -> tuple[int, dict]:
    answer = with_scores(make_answer(frames, tokens=tokens, kept=[1] * frames))
    answer = replace(answer, sample=replace(answer.sample, images=noise(frames, **size)))
    page = page_of(answer)
    return len(page), data_of(page)["clips"][0]


def test_32_frames_take_at_most_1_5_megabytes() -> None:
    size, clip = sized(32, 1024, size=(360, 480), kinds=32)
    assert size <= 1_500_000
    assert (len(clip["shown"]), all(clip["pictures"]), clip["scores"]["levels"]) == (32, True, 65535)


def test_an_hour_takes_at_most_8_megabytes() -> None:
    size, clip = sized(3600, 196)
    assert size <= 8_000_000
    assert (len(clip["kept"]), len(clip["shown"]), clip["scores"]["levels"]) == (3600, 3600, 255)
    assert "S and T are rounded to 0.004; ranks and counts are exact." in clip["note"]


def test_what_would_be_larger_shows_fewer_frames_and_says_so() -> None:
    size, clip = sized(3600, 1024)
    assert size <= 8_000_000
    assert len(clip["kept"]) == 3600
    every = clip["shown"][1]
    assert 1 < every < 10
    assert clip["note"].startswith(
        f"To keep this page small, every {every}th frame is shown; all counts are of all"
    )


def test_nothing_pruned_has_no_scores() -> None:
    clip = data_of(page_of(make_answer(2, kept=[196, 196])))["clips"][0]
    assert clip["scores"] is None
    assert clip["answers"][0]["headline"].startswith("answered from all 392 picture tokens; KV cache ")
