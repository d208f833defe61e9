"""An answer about a clip that was seen before is the one that looking at it gives: each logit, in every family."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from family_answers import NEW, asked
from long_clips import ONE_D, in_chunks
from seen_clips import seen_again, written
from tiny_families import RECIPES, clip, folder

from sharpv_cli.models.loading import LoadedModel, load
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.prompts import Prompts, SharedPrompts
from sharpv_cli.session import Session
from sharpv_cli.settings import ModelSettings, Settings
from sharpv_cli.types import Answer
from sharpv_cli.video.frames import Frames

QUESTIONS = ("What is shown?", "  How many boxes are there, and where do they go? ß 日本 🙂")
OFF: dict[str, Any] = {"visual": {"mode": "off"}, "memory": {"enabled": False}}
CASES: dict[str, dict[str, Any]] = {
    "adaptive, layers that discard": {"memory": {"m": 0.9}},
    "manual, contiguous or not": {"visual": {"mode": "manual", "k": 1.0}, "memory": {"enabled": False}},
    "off": OFF,
    "drawn": {"visual": {"scale": 0.4}, "generation": {"temperature": 1.5, "seed": 7}},
    "the reference engine": {"engine": "reference"},
}


@cache
def _loaded(family: str, dtype: str) -> LoadedModel:
    settings = {"id": str(folder(family)), "dtype": dtype}
    return load(ModelSettings.model_validate(settings), "cpu")


def _clip(family: str, dtype: str, **groups: Any) -> Clip:
    model = {"id": str(folder(family)), "dtype": dtype}
    settings = Settings.model_validate({"model": model, "device": "cpu"} | groups)
    return Clip(
        Session.of(_loaded(family, dtype), settings.engine), Frames(*clip()), settings, new_tokens=NEW
    )


def _same(want: tuple[Answer, torch.Tensor], got: tuple[Answer, torch.Tensor]) -> None:
    assert torch.equal(got[1], want[1])
    assert (got[0].token_ids, got[0].text) == (want[0].token_ids, want[0].text)
    assert got[0].text_tokens == want[0].text_tokens
    assert np.array_equal(got[0].keep, want[0].keep)
    assert got[0].layers == want[0].layers
    assert got[0].warnings == want[0].warnings
    assert (want[0].seen, got[0].seen) == (False, True)
    assert got[0].timing.vision_sec == got[0].timing.decode_sec == 0


@pytest.mark.parametrize("family", RECIPES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_each_question_gets_the_answer_that_a_fresh_look_gives(family: str, dtype: str, case: str) -> None:
    """Alone and among several; what was kept with the first question serves the other."""
    of = _clip(family, dtype, **CASES[case])
    fresh = SharedPrompts(of)
    wanted = [asked(fresh, question, last=question == QUESTIONS[-1]) for question in QUESTIONS]
    assert fresh.first is not None
    seen = seen_again(of, written(fresh.first))
    several = SharedPrompts(seen)
    for question, want in zip(QUESTIONS, wanted, strict=True):
        _same(want, asked(several, question, last=question == QUESTIONS[-1]))
    alone = asked(Prompts(of), QUESTIONS[1])  # type: ignore[arg-type]
    _same(alone, asked(Prompts(seen), QUESTIONS[1]))  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ONE_D)
@pytest.mark.parametrize("case", ["adaptive, layers that discard", "off", "drawn"])
def test_a_clip_that_came_in_chunks_is_the_same_too(family: str, case: str) -> None:
    of = _clip(family, "float32", **CASES[case])
    fresh = SharedPrompts(in_chunks(of, 3))
    wanted = [asked(fresh, question) for question in QUESTIONS]
    assert fresh.first is not None
    several = SharedPrompts(seen_again(of, written(fresh.first)))
    for question, want in zip(QUESTIONS, wanted, strict=True):
        got = asked(several, question)
        _same(want, (got[0], got[1]))


@pytest.mark.parametrize("family", RECIPES)
def test_what_was_kept_at_a_larger_scale_serves_a_smaller_one(family: str) -> None:
    of = _clip(family, "float32", visual={"scale": 1.0})
    fresh = Prompts(of)
    asked(fresh, QUESTIONS[0])  # type: ignore[arg-type]
    assert fresh.first is not None
    content = written(fresh.first)
    for scale in (0.99, 0.5, 0.1):
        visual = of.settings.visual.model_copy(update={"scale": scale})
        settings = of.settings.model_copy(update={"visual": visual})
        want = asked(Prompts(replace(of, settings=settings)), QUESTIONS[1])  # type: ignore[arg-type]
        got = asked(Prompts(seen_again(of, content, settings=settings)), QUESTIONS[1])  # type: ignore[arg-type]
        _same(want, got)


@pytest.mark.parametrize("family", RECIPES)
def test_other_words_around_the_video_are_no_other_video(family: str) -> None:
    """Words before the video move it; what frames put into the prompt is the same."""
    of = _clip(family, "float32")
    fresh = Prompts(of)
    asked(fresh, QUESTIONS[0])  # type: ignore[arg-type]
    assert fresh.first is not None
    content = written(fresh.first)
    prompt = of.settings.prompt.model_copy(update={"suffix": "Answer briefly."})
    settings = of.settings.model_copy(update={"prompt": prompt})
    want = asked(Prompts(replace(of, settings=settings)), QUESTIONS[1])  # type: ignore[arg-type]
    _same(want, asked(Prompts(seen_again(of, content, settings=settings)), QUESTIONS[1]))  # type: ignore[arg-type]
