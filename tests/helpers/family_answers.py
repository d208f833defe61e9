"""Questions to the tiny model of a family through the pipeline: alone, and behind what several share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from events import answer, answer_about
from tiny_families import clip, folder, loaded
from tiny_model import recorded_logits

from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.prompts import SharedPrompts
from sharpv_cli.session import Session
from sharpv_cli.settings import Settings
from sharpv_cli.types import Answer, Event, Finished, TextPiece
from sharpv_cli.video.frames import Frames

NEW = 6


def clip_of(family: str, attention: str = "sdpa", **groups: Any) -> Clip:
    model = {"id": str(folder(family)), "attention": attention}
    settings = Settings.model_validate({"model": model, "device": "cpu"} | groups)
    session = Session.of(loaded(family, attention), settings.engine)
    return Clip(session, Frames(*clip()), settings, new_tokens=NEW)


def finish(stream: Iterator[Event], rows: list[torch.Tensor]) -> tuple[Answer, torch.Tensor]:
    """The answer, and the logits of each of its tokens [n, vocabulary]; its pieces join to its text."""
    events = list(stream)
    assert isinstance(events[-1], Finished)
    got = events[-1].answer
    assert "".join(event.text for event in events if isinstance(event, TextPiece)) == got.text
    return got, torch.stack(rows[-got.generated_tokens :])


def asked(video: SharedPrompts, question: str, *, last: bool = False) -> tuple[Answer, torch.Tensor]:
    with recorded_logits(video.clip.loaded) as rows:
        return finish(answer_about(video, question, last=last), rows)


def alone(of: Clip, question: str) -> tuple[Answer, torch.Tensor]:
    with recorded_logits(of.loaded) as rows:
        events = answer(of.session, of.info, of.sample, question, of.settings, new_tokens=of.new_tokens)
        return finish(events, rows)
