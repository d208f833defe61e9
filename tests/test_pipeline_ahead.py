"""Questions about long files: decoded while the model loads and while frames are encoded, whatever ends them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from events import ask, ask_all
from tiny_model import QUESTION, clip, folder

from sharpv_cli.errors import ModelError, VideoError
from sharpv_cli.pipeline import clip as clips
from sharpv_cli.pipeline import opening
from sharpv_cli.pipeline.long import chunks as lengths
from sharpv_cli.settings import Settings
from sharpv_cli.types import Answer, Event, Finished, Loaded, StageStarted
from sharpv_cli.video import coming
from sharpv_cli.video.ahead import FramesAhead
from sharpv_cli.video.encoding import write_clip

FRAMES = 24


def settings(**groups: Any) -> Settings:
    base = {"model": {"id": str(folder())}, "device": "cpu", "generation": {"max_new_tokens": 8}}
    return Settings.model_validate(base | {"sampling": {"strategy": "fps", "fps": 4.0}} | groups)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    write_clip(path, clip(FRAMES)[1].images, fps=4.0)
    return path


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(lengths, "WHOLE_FRAMES", 8)
    monkeypatch.setattr(lengths, "CHUNK_FRAMES", 3)
    yield
    deadline = time.monotonic() + 30
    while left := [t.name for t in threading.enumerate() if t.name.startswith(("sharpv-ahead", "decode"))]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def finished(events: list[Event]) -> list[Answer]:
    return [event.answer for event in events if isinstance(event, Finished)]


def test_a_long_file_gets_the_answer_of_the_whole_clip(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = list(ask(video, QUESTION, settings()))
    (got,) = finished(events)
    monkeypatch.setattr(lengths, "WHOLE_FRAMES", 1000)
    (want,) = finished(list(ask(video, QUESTION, settings())))

    assert [event.stage for event in events if isinstance(event, StageStarted)] == [
        "load",
        "decode",
        "preprocess",
        "vision",
        "prefill",
        "generate",
    ]
    assert (got.sample.decoded, want.sample.decoded) == ((48, 80), None)
    assert (got.text, got.video, got.warnings) == (want.text, want.video, want.warnings)
    np.testing.assert_array_equal(got.keep, want.keep)
    np.testing.assert_array_equal(got.sample.images, want.sample.images)
    (loaded,) = (event for event in events if isinstance(event, Loaded))
    assert loaded.sample.timestamps_sec == got.sample.timestamps_sec
    timing = got.timing
    assert timing.decode_sec > 0
    assert timing.decode_wait_sec >= 0
    spent = timing.preprocess_sec + timing.vision_sec + timing.prune_sec + timing.prefill_sec
    assert 0 < spent < timing.ttft_sec


def test_several_questions_take_the_frames_once(video: Path) -> None:
    first, second = finished(list(ask_all(video, [QUESTION, "Why?"], settings())))
    assert finished(list(ask(video, "Why?", settings())))[0].text == second.text
    assert first.timing.decode_sec > 0
    assert (second.timing.decode_sec, second.timing.decode_wait_sec) == (0, 0)


@pytest.mark.parametrize("engine", ["reference", "auto"])
def test_the_reference_engine_takes_clips_whole(video: Path, engine: str) -> None:
    (got,) = finished(list(ask(video, QUESTION, settings(engine=engine))))
    assert (got.sample.decoded is None) == (engine == "reference")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[FramesAhead]:
    """The frames that were asked for, decoded in this process, so that their window can be looked at."""
    frames: list[FramesAhead] = []

    def recorded(*args: Any, **options: Any) -> FramesAhead:
        frames.append(FramesAhead(*args, **options))
        return frames[-1]

    monkeypatch.setattr(coming, "FramesOfChild", recorded)
    return frames


def wait_for_chunk(frames: FramesAhead, number: int) -> None:
    """Until the decoder has a chunk complete, counted from the one that is taken next."""
    window = frames._window
    with window._changed:
        assert window._changed.wait_for(lambda: window._full(window._next + number), 30)


def test_decoding_begins_before_the_model_and_waits_for_it(
    video: Path, made: list[FramesAhead], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_session, held = opening.open_session, []

    def slow_load(*args: Any, **kwargs: Any) -> Any:
        loaded = open_session(*args, **kwargs)
        wait_for_chunk(made[0], 1)
        held.append(sorted(made[0]._window._filling))
        return loaded

    monkeypatch.setattr(opening, "open_session", slow_load)
    (got,) = finished(list(ask(video, QUESTION, settings())))
    assert held == [[0, 1]], "two chunks and no more"
    assert len(got.sample) == FRAMES


def test_chunks_are_decoded_while_another_is_encoded(
    video: Path, made: list[FramesAhead], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No clock: encoding a chunk does not end before the next one is decoded."""
    capture, chunks = clips.capture, []

    def slow(*args: Any) -> Any:
        chunks.append(1)
        if len(chunks) < FRAMES // 3:
            wait_for_chunk(made[0], 0)
        return capture(*args)

    monkeypatch.setattr(clips, "capture", slow)
    assert finished(list(ask(video, QUESTION, settings())))
    assert len(chunks) == FRAMES // 3


@pytest.mark.parametrize("error", [VideoError("it is gone"), KeyboardInterrupt()])
def test_what_ends_the_stream_ends_the_answer(
    video: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    get, taken = coming.FramesOfChild.get, []

    def failing(self: coming.FramesOfChild) -> Any:
        taken.append(1)
        if len(taken) == 3:
            raise error
        return get(self)

    monkeypatch.setattr(coming.FramesOfChild, "get", failing)
    with pytest.raises(type(error)) as raised:
        list(ask_all(video, [QUESTION, "Why?"], settings()))
    assert raised.value is error
    assert len(taken) == 3


def test_closing_the_events_early_ends_the_decoder(video: Path, made: list[FramesAhead]) -> None:
    events = ask(video, QUESTION, settings())
    next(event for event in events if isinstance(event, StageStarted) and event.stage == "vision")
    events.close()  # type: ignore[attr-defined]
    assert made[0]._window._closed


def test_a_model_that_cannot_be_loaded_ends_the_decoder(
    video: Path, made: list[FramesAhead], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    recorded = coming.FramesOfChild
    monkeypatch.setattr(
        coming, "FramesOfChild", lambda *args, **options: (recorded(*args, **options), begun.set())[0]
    )

    def refused(*_args: Any, **_kwargs: Any) -> Any:
        assert begun.wait(30)
        wait_for_chunk(made[0], 1)
        raise ModelError("no")

    monkeypatch.setattr(opening, "open_session", refused)
    with pytest.raises(ModelError):
        list(ask(video, QUESTION, settings()))
