"""What would not fit into memory is refused before it is begun, with numbers and a flag that makes it fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from events import answer
from tiny_model import QUESTION, clip, folder, session

from sharpv_cli.commands import preparing
from sharpv_cli.engine.together import Together
from sharpv_cli.errors import ResourceError, UsageError
from sharpv_cli.models import placement
from sharpv_cli.models.loading import LoadedModel, load
from sharpv_cli.pipeline import fitting
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.session import Session
from sharpv_cli.settings import Settings, resolve
from sharpv_cli.types import Answer, Finished
from sharpv_cli.video.encoding import write_clip
from sharpv_cli.video.frames import Frames
from sharpv_cli.video.local import LocalVideo

FRAMES = 40


def settings(**groups: Any) -> Settings:
    model = {"id": str(folder()), "attention": "sdpa"}
    return Settings.model_validate(
        {"model": model, "device": "cpu", "generation": {"max_new_tokens": 4}} | groups
    )


def ask(free: int | None, monkeypatch: pytest.MonkeyPatch, frames: int = FRAMES, **groups: Any) -> Answer:
    monkeypatch.setattr(fitting, "available_bytes", lambda _device: free)
    events = list(answer(session(), *clip(frames), QUESTION, settings(**groups)))
    assert isinstance(events[-1], Finished)
    return events[-1].answer


def flag(error: ResourceError, name: str) -> float:
    """The value that the hint gives for a flag."""
    assert error.hint is not None
    return float(error.hint.partition(f"--{name} ")[2].split()[0].rstrip(";"))


def test_what_fits_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(1 << 34, monkeypatch).text
    assert ask(None, monkeypatch).text  # a system that does not say


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_open_clips_hold_frames_and_whole_prompts_where_they_are(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that has memory of its own is full by itself; a single prompt is let go of when it was read."""
    engine = Together(session().engine, host=1 << 30, device=1)
    info, sample = clip(FRAMES)
    one, frames = (
        Clip(Session(session().loaded, engine), Frames(info, sample), settings()),
        sample.images.nbytes,
    )
    monkeypatch.setattr(LoadedModel, "device", property(lambda _: torch.device(device)))
    with fitting.counted(one, for_more=False):
        assert engine.held == (frames, 0)
    with fitting.counted(one):
        tokens = sum(engine.held) - frames
        assert tokens > 0
        assert engine.held == ((frames, tokens) if device == "cuda" else (frames + tokens, 0))
        assert engine.has_room == (device == "cpu")
    assert engine.held == (0, 0)


def test_frames_that_cannot_be_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ResourceError, match=f"encoding {FRAMES} frames needs about .*; 4.0 MiB are free"
    ) as no:
        ask(4 << 20, monkeypatch)

    assert no.value.exit_code == 5
    frames = int(flag(no.value, "frames"))
    assert 0 < frames < FRAMES
    assert ask(4 << 20, monkeypatch, frames=frames).text
    with pytest.raises(ResourceError):
        ask(4 << 20, monkeypatch, frames=frames + 1)


def test_a_prompt_that_cannot_be_read_is_refused_with_the_scale_that_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sharpv_cli.pipeline.fitting.require_encoding", lambda _clip: None)
    free = 500_000

    with pytest.raises(ResourceError, match=r"reading \d+ visual tokens and \d+ of text needs about") as no:
        ask(free, monkeypatch)

    scale = flag(no.value, "scale")
    assert 0 < scale < 1
    assert ask(free, monkeypatch, visual={"scale": scale}).visual_retention < 1
    with pytest.raises(ResourceError) as off:
        ask(free, monkeypatch, visual={"mode": "off"})
    assert "--scale" not in str(off.value.hint)


LONG = "what moves? " * 400


def ask_only(question: str) -> list[Any]:
    return list(answer(session(), *clip(4), question, settings()))


def made_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "pipeline.fitting.require_encoding",
        "models.wording.inputs_and_wordings",
        "pipeline.clip.capture",
    ):
        monkeypatch.setattr(f"sharpv_cli.{name}", lambda *_, **__: 1 / 0)


def test_a_question_longer_than_the_context_is_refused_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made_nothing(monkeypatch)
    with pytest.raises(UsageError, match=r"the question has \d{4,} tokens; .* the model's context of 4096"):
        ask_only(LONG * 10)
    with pytest.raises(UsageError, match=r"the question has 1200000 bytes, and 262144 are the most"):
        ask_only("what moves? " * 100_000)


def test_a_question_that_memory_has_no_room_for_is_refused_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made_nothing(monkeypatch)
    monkeypatch.setattr(fitting, "available_bytes", lambda _device: 500_000)
    with pytest.raises(ResourceError, match=r"reading 0 visual tokens and \d{3,} of text needs about") as no:
        ask_only(LONG[:1500])
    assert "--frames" not in str(no.value.hint)


def test_the_check_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResourceError) as no:
        ask(1, monkeypatch)
    assert "--no-memory-check" in str(no.value.hint)
    assert ask(1, monkeypatch, memory_check=False).text


def test_weights_that_do_not_fit_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "available_bytes", lambda _device: 1000)
    model = settings().model
    with pytest.raises(ResourceError, match=r"needs about .* are free on cpu"):
        load(model, "cpu")
    assert load(model, "cpu", memory_check=False).model is not None


def test_what_would_not_fit_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = tmp_path / "clip.mp4"
    write_clip(video, clip(4)[1].images, fps=4.0)
    pulled: list[str] = []
    monkeypatch.setattr("sharpv_cli.models.hub.plan", lambda model: model.id)
    monkeypatch.setattr("sharpv_cli.models.hub.require_space", lambda planned: None)
    monkeypatch.setattr(preparing, "pull", lambda model, planned: pulled.append(planned))
    monkeypatch.setattr("sharpv_cli.models.checkpoint.locate", lambda model, *, offline=False: None)
    monkeypatch.setattr("sharpv_cli.models.known.locate", lambda model: None)
    monkeypatch.setattr(placement, "available_bytes", lambda _device: 1 << 30)
    local = LocalVideo(str(video), "clip.mp4")

    with pytest.raises(ResourceError, match=r"llava-onevision-qwen2-7b-ov-hf needs about .*1.0 GiB are free"):
        preparing.check_inputs(local, resolve({}, {}, profile="llava-ov-7b"))
    assert pulled == []

    preparing.check_inputs(local, resolve({"memory-check": False}, {}, profile="llava-ov-7b"))
    assert pulled == ["llava-hf/llava-onevision-qwen2-7b-ov-hf"]
    preparing.check_inputs(local, resolve({"model": "somebody/unknown"}, {}))  # its size is not known yet
    assert pulled[1:] == ["somebody/unknown"]
