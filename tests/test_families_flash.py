"""transformers' flash-attn glue under our engine: positions with gaps, evicted layers, a question behind a video.

Only the kernel is replaced (fake_flash). The glue reads gaps between positions as borders of packed sequences, and
has no mask that would tell otherwise.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fake_flash import flash
from family_answers import NEW, alone, asked, clip_of
from tiny_families import LAYERS, inputs, loaded
from tiny_model import assert_close, assert_far

from sharpv_cli.engine.cache import SharpVCache
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.models.capture import capture
from sharpv_cli.pipeline.prompts import SharedPrompts

QUESTIONS = ("What is shown?", "  How many boxes are there, and where do they go?")
# 1-D positions, and M-RoPE with DeepStack.
each = pytest.mark.parametrize("family", ["llava_onevision", "qwen3_vl"])


def between(family: str) -> dict[str, Any]:
    """Settings with a threshold M that some layers are below."""
    first, _ = alone(clip_of(family, engine="reference", memory={"m": -1.0}), QUESTIONS[0])
    similarities = [layer.similarity for layer in first.layers if layer.similarity is not None]
    return {"memory": {"m": (min(similarities) + max(similarities)) / 2}}


@each
def test_one_question_gets_the_answer_of_sdpa(family: str) -> None:
    of = clip_of(family, engine="reference", **between(family))
    want, want_logits = alone(of, QUESTIONS[0])

    with flash(of.loaded) as calls:
        got, logits = alone(of, QUESTIONS[0])

    assert_close(logits, want_logits)
    assert got.text == want.text
    assert 0 < sum(layer.visual_kv_kept for layer in got.layers) < LAYERS
    assert got.visual_kept < got.visual_total
    gaps = "dense" if family == "qwen3_vl" else "packed"
    assert calls == [gaps] * LAYERS + ["dense"] * LAYERS * (NEW - 1)


@each
@pytest.mark.parametrize("off", [False, True])
def test_each_of_several_questions_gets_the_answer_of_sdpa(family: str, off: bool) -> None:
    groups = {"visual": {"mode": "off"}, "memory": {"enabled": False}} if off else between(family)
    video = SharedPrompts(clip_of(family, engine="reference", **groups))
    for question in QUESTIONS:
        want, want_logits = alone(video.clip, question)

        with flash(video.clip.loaded) as calls:
            got, logits = asked(video, question, last=question == QUESTIONS[-1])

        assert got.memory.shared_prefix_bytes is not None
        assert got.text == want.text
        assert_close(logits, want_logits)
        # The question is a chunk on a cache that holds the video, and has no gaps of its own.
        assert calls[-LAYERS * NEW :] == ["dense"] * LAYERS * NEW


@torch.no_grad()
def test_gaps_on_a_cache_that_holds_something_are_what_must_not_be() -> None:
    """Why a prefix ends behind the last visual token: the glue takes the chunk for sequences of their own."""
    model = loaded("llava_onevision")
    whole = capture(model.model, inputs(model), model.family)
    keep = torch.arange(whole.slots.numel()).view_as(whole.slots) % 3 == 0
    prompt = whole.prune(keep)
    middle = int(prompt.visual[len(prompt.visual) // 2])

    def in_two(at: int) -> torch.Tensor:
        cache = SharpVCache(LAYERS)
        ReferenceEngine(model.model).read(prompt.head(at), cache)
        return ReferenceEngine(model.model).read(prompt.tail(at), cache)

    want = in_two(middle)
    with flash(model):
        assert_close(in_two(int(prompt.visual.max()) + 1), want)
        assert_far(in_two(middle), want)
