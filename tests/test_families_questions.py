"""Several questions about one video, for every family: the answers that they get alone, from one look at it."""

from __future__ import annotations

from typing import Any

import pytest
from family_answers import alone, asked, clip_of
from tiny_families import LAYERS, RECIPES
from tiny_model import assert_close

from sharpv_cli.pipeline.prompts import SharedPrompts

QUESTIONS = ("What is shown?", "  How many boxes are there, and where do they go? ß 日本 🙂")
OFF: dict[str, Any] = {"visual": {"mode": "off"}, "memory": {"enabled": False}}
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "off": OFF,
    "sampling": {"generation": {"temperature": 1.5, "seed": 7}},
}


@pytest.mark.parametrize("family", RECIPES)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("case", CASES)
def test_each_question_gets_the_answer_that_it_gets_alone(family: str, attention: str, case: str) -> None:
    """With the tower run once: what follows the video is all that later questions are read for."""
    video = SharedPrompts(clip_of(family, attention, **CASES[case]))
    for question in QUESTIONS:
        want, want_logits = alone(video.clip, question)

        got, logits = asked(video, question, last=question == QUESTIONS[-1])

        assert got.text == want.text
        assert_close(logits, want_logits)
        assert got.memory.shared_prefix_bytes is not None
        assert (got.timing.vision_sec > 0) == (question == QUESTIONS[0])
        assert got.text_tokens == want.text_tokens
        assert (got.keep == want.keep).all()
        assert [(layer.kv_entries, layer.visual_kv_kept) for layer in got.layers] == [
            (layer.kv_entries, layer.visual_kv_kept) for layer in want.layers
        ]


@pytest.mark.parametrize("family", RECIPES)
def test_layers_that_discard_do_so_for_each_question(family: str) -> None:
    """The default threshold keeps all layers of some tiny models: here it stands between theirs."""
    first, _ = alone(clip_of(family, memory={"m": -1.0}), QUESTIONS[0])
    similarities = sorted(layer.similarity for layer in first.layers if layer.similarity is not None)
    between = {"memory": {"m": (similarities[0] + similarities[-1]) / 2}}
    video = SharedPrompts(clip_of(family, **between))
    for question in QUESTIONS:
        want, want_logits = alone(video.clip, question)

        got, logits = asked(video, question)

        assert 0 < sum(layer.visual_kv_kept for layer in got.layers) < LAYERS
        assert_close(logits, want_logits)
        assert got.memory.kv_bytes == want.memory.kv_bytes
