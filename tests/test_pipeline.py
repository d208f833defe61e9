"""The stages joined: from a file, or from frames and a loaded model, to the answer with its figures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import torch
from events import answer, ask
from tiny_checkpoint import LAYERS, TOKENS_PER_FRAME
from tiny_model import FRAMES, QUESTION, captured, clip, folder, hook_count, loaded, session, stock_inputs

from sharpv_cli import metrics
from sharpv_cli.engine.device import make_current
from sharpv_cli.errors import ModelError, ResourceError, UsageError, VideoError
from sharpv_cli.pipeline import opening
from sharpv_cli.settings import Settings
from sharpv_cli.types import Answer, Event, Finished, Loaded, PromptRead, Reading, StageStarted, TextPiece
from sharpv_cli.video.encoding import write_clip
from sharpv_cli.video.probe import scan

NEW = 16
KV_ENTRY = 2 * 2 * 16 * 4  # keys and values, 2 heads of 16, float32


def settings(**groups: Any) -> Settings:
    generation = {"max_new_tokens": NEW} | groups.pop("generation", {})
    model = {"id": str(folder()), "attention": "sdpa"} | groups.pop("model", {})
    return Settings.model_validate({"model": model, "generation": generation, "device": "cpu", **groups})


def events(frames: int = FRAMES, max_positions: int = 4096, **groups: Any) -> list[Event]:
    given = settings(**groups)
    of = session(given.engine, max_positions=max_positions)
    return list(answer(of, *clip(frames), QUESTION, given))


def result(frames: int = FRAMES, max_positions: int = 4096, **groups: Any) -> Answer:
    last = events(frames, max_positions, **groups)[-1]
    assert isinstance(last, Finished)
    return last.answer


OFF = {"visual": {"mode": "off"}, "memory": {"enabled": False}}


def test_events_come_in_order_and_the_pieces_join_to_the_answer() -> None:
    seen = events()

    stages = [event.stage for event in seen if isinstance(event, StageStarted)]
    assert stages == ["preprocess", "vision", "prefill", "generate"]
    pieces = [event.text for event in seen if isinstance(event, TextPiece)]
    assert isinstance(seen[-1], Finished)
    assert "".join(pieces) == seen[-1].answer.text != ""
    assert len(pieces) > 3
    assert all(pieces)


def told(stream: Iterator[Event]) -> Reading:
    return next(event.reading for event in stream if isinstance(event, PromptRead))


def test_what_was_kept_is_told_before_the_first_token() -> None:
    stream = answer(session(), *clip(), QUESTION, settings())
    reading, (start, first, *rest) = told(stream), stream
    assert (start, type(first)) == (StageStarted("generate"), TextPiece)
    assert isinstance(rest[-1], Finished)
    for field in fields(reading):
        if field.name != "memory":
            assert getattr(reading, field.name) == getattr(rest[-1].answer, field.name), field.name
    assert replace(reading.memory, peak_bytes=0) == replace(rest[-1].answer.memory, peak_bytes=0)


def test_the_time_of_who_draws_what_was_kept_is_no_token_s(monkeypatch: pytest.MonkeyPatch) -> None:
    away, now = 0.0, metrics.now
    monkeypatch.setattr(metrics, "now", lambda: now() + away)
    stream = answer(session(), *clip(), QUESTION, settings())
    told(stream)
    away = 1e6
    *_, last = stream
    assert isinstance(last, Finished) and last.answer.timing.tpot_sec is not None
    assert last.answer.timing.ttft_sec < 1e5 and last.answer.timing.tpot_sec < 1e5
    assert last.answer.timing.total_sec > 1e5


def test_ctrl_c_while_what_was_kept_is_drawn_ends_an_answer_without_words() -> None:
    stream = answer(session(), *clip(), QUESTION, settings())
    told(stream)
    last = stream.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
    assert isinstance(last, Finished)
    assert (last.answer.text, last.answer.finish_reason) == ("", "interrupted")


def test_with_everything_off_the_text_is_that_of_stock_generate() -> None:
    model, inputs = loaded(), stock_inputs(loaded())
    stock = model.model.generate(**inputs, max_new_tokens=NEW, do_sample=False)
    text = model.tokenizer.decode(stock[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    got = result(**OFF)

    assert got.text == text.lstrip()  # white space before the first word belongs to the prompt
    assert got.visual_retention == got.memory.kv_retention == 1.0
    assert got.memory.kv_bytes == got.memory.kv_dense_bytes
    assert all(layer.similarity is None and layer.visual_kv_kept for layer in got.layers)


def test_the_kept_tokens_are_the_references() -> None:
    scores = reference.scores(captured().features.numpy())

    got = result()

    np.testing.assert_array_equal(got.keep, reference.adaptive(scores["I"], scores["r"]))
    assert 0 < got.visual_retention < 1
    manual = result(visual={"mode": "manual", "k": 0.3, "min_tokens": 2})
    np.testing.assert_array_equal(manual.keep, reference.manual(scores["I"], 0.3, 2))


def test_every_figure_of_the_answer() -> None:
    whole, got = captured(), result()
    kept, gone = int(got.keep.sum()), [layer.layer for layer in got.layers if not layer.visual_kv_kept]

    assert got.question == QUESTION
    assert got.generated_tokens <= NEW
    assert got.text_tokens == len(whole) - FRAMES * TOKENS_PER_FRAME
    assert [(r.frame, r.timestamp_sec, r.total) for r in got.retention] == [
        (t, t / 2, TOKENS_PER_FRAME) for t in range(FRAMES)
    ]
    assert [r.kept for r in got.retention] == got.keep.sum(axis=1).tolist()
    assert 0 < len(gone) < LAYERS
    for layer in got.layers:
        assert layer.similarity is not None
        assert layer.visual_kv_kept == (layer.similarity >= 0.2)
        assert layer.kv_entries == got.text_tokens + kept * layer.visual_kv_kept
        assert layer.kv_bytes == layer.kv_entries * KV_ENTRY
    assert got.memory.kv_dense_bytes == LAYERS * len(whole) * KV_ENTRY
    assert got.memory.kv_retention == pytest.approx(
        kept * (LAYERS - len(gone)) / (FRAMES * TOKENS_PER_FRAME * LAYERS)
    )
    assert got.memory.peak_bytes > got.memory.weights_bytes
    assert got.seed is None
    assert got.warnings == ()


def test_timings_are_of_this_run() -> None:
    begin = time.perf_counter()
    timing = result().timing
    spent = time.perf_counter() - begin

    stages = timing.preprocess_sec + timing.vision_sec + timing.prune_sec + timing.prefill_sec
    assert 0 < stages <= timing.ttft_sec < timing.total_sec <= spent
    assert timing.tpot_sec is not None
    assert 0 < timing.tpot_sec < spent
    assert result(generation={"max_new_tokens": 1}).timing.tpot_sec is None


@pytest.mark.parametrize("limit", [1, 2])
def test_the_limit_of_tokens_finishes_the_answer(limit: int) -> None:
    got = result(generation={"max_new_tokens": limit})

    assert (got.finish_reason, got.generated_tokens, len(got.token_ids)) == ("length", limit, limit)
    assert result().token_ids[:limit] == got.token_ids


def test_a_stop_token_finishes_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    ids: list[int] = []
    model = loaded()
    monkeypatch.setattr(model.model.generation_config, "eos_token_id", [])
    hook = model.model.get_output_embeddings().register_forward_hook(
        lambda _m, _a, logits: ids.append(int(logits.argmax()))
    )
    whole = result()
    hook.remove()
    assert (whole.finish_reason, whole.generated_tokens) == ("length", NEW)
    stop = next(token for token in ids[2:] if token not in ids[:2])
    monkeypatch.setattr(model.model.generation_config, "eos_token_id", [2, stop])

    got = result()

    assert (got.finish_reason, got.generated_tokens) == ("stop", ids.index(stop))
    assert whole.text.startswith(got.text)


def test_an_empty_answer_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = list(range(len(loaded().tokenizer)))
    monkeypatch.setattr(loaded().model.generation_config, "eos_token_id", everything)

    got = result()

    assert (got.text, got.generated_tokens, got.finish_reason) == ("", 0, "stop")
    assert got.timing.tpot_sec is None


def test_sampling_repeats_with_its_seed_also_when_the_seed_was_drawn_for_it() -> None:
    warm = {"temperature": 2.0}
    drawn = result(generation=warm)
    assert drawn.seed is not None

    again = result(generation=warm | {"seed": drawn.seed})

    assert again.text == drawn.text
    assert again.seed == drawn.seed
    assert len({result(generation=warm | {"seed": seed}).text for seed in range(4)}) > 1


def interrupted_inside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Ctrl-C while the third token is computed."""
    layer, passes = loaded().model.get_decoder().layers[0], []

    def forward(*args: Any, **kwargs: Any) -> Any:
        passes.append(1)
        if len(passes) == 4:
            raise KeyboardInterrupt
        return type(layer).forward(layer, *args, **kwargs)

    monkeypatch.setattr(layer, "forward", forward)
    yield from events(engine="reference")  # the fast one passes the layers' own forward by


def test_ctrl_c_between_tokens_ends_the_answer_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    before = hook_count(loaded())

    last = list(interrupted_inside(monkeypatch))[-1]

    assert isinstance(last, Finished)
    assert (last.answer.finish_reason, last.answer.generated_tokens) == ("interrupted", 3)
    assert hook_count(loaded()) == before


def test_ctrl_c_in_the_caller_can_be_handed_in() -> None:
    stream = answer(session(), *clip(), QUESTION, settings())
    first = next(event for event in stream if isinstance(event, TextPiece))

    rest = [stream.throw(KeyboardInterrupt()), *stream]

    assert isinstance(rest[-1], Finished)
    assert rest[-1].answer.finish_reason == "interrupted"
    assert rest[-1].answer.text.startswith(first.text)


def test_closing_the_events_cleans_up() -> None:
    before = hook_count(loaded())
    stream = answer(session("reference"), *clip(), QUESTION, settings())
    next(event for event in stream if isinstance(event, TextPiece))
    assert hook_count(loaded()) > before

    stream.close()

    assert hook_count(loaded()) == before


def test_past_the_context_positions_become_contiguous_and_it_is_said() -> None:
    whole = result(frames=8)
    length = whole.text_tokens + whole.visual_total
    context = length + NEW - 2  # one too few for the original positions: the last token is not read

    got = result(frames=8, max_positions=context)

    assert f"context of {context}" in got.warnings[0]
    assert "contiguous" in got.warnings[0]
    assert got.text == result(frames=8, positions="contiguous").text
    np.testing.assert_array_equal(got.keep, whole.keep)
    assert result(frames=8, max_positions=context + 1).warnings == ()


def test_past_the_context_even_so_scale_is_lowered_and_it_is_said() -> None:
    whole = result(frames=8)
    context = whole.text_tokens + NEW - 1 + 12
    assert whole.visual_kept > 12

    got = result(frames=8, max_positions=context)

    assert "scale was lowered from 1 to" in got.warnings[0]
    assert "contiguous" in got.warnings[1]
    assert 8 <= got.visual_kept <= 12
    assert got.retention[0].kept >= 1


@pytest.mark.parametrize("visual", [{"mode": "off"}, {"mode": "manual", "k": 0.0}, {"min_tokens": 16}])
def test_what_cannot_be_made_to_fit_is_refused_with_the_numbers(visual: dict[str, Any]) -> None:
    context = result(frames=8).text_tokens + NEW + 12

    with pytest.raises(UsageError, match=f"128 visual tokens.*context of {context}") as refused:
        result(frames=8, max_positions=context, visual=visual)

    assert "--frames" in str(refused.value.hint)


def test_a_question_that_fills_the_context_alone_is_to_be_shorter() -> None:
    context = result(frames=8).text_tokens
    with pytest.raises(UsageError) as refused:
        result(frames=8, max_positions=context)
    assert refused.value.hint == "ask a shorter question, or lower --max-new-tokens"


def test_system_and_suffix_reach_the_model() -> None:
    plain = result().text_tokens

    assert result(prompt={"system": "Be brief."}).text_tokens > plain
    assert result(prompt={"suffix": "One word."}).text_tokens > plain


@pytest.mark.parametrize("text", ["what is <video>?", "and <image>?"])
def test_a_placeholder_in_the_question_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=text.split()[-1].rstrip("?")):
        list(answer(session(), *clip(), text, settings()))


def test_no_memory_left_is_a_resource_error(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = loaded().model.get_decoder().layers[0]
    monkeypatch.setattr(layer, "forward", lambda *_args, **_kwargs: torch.empty(2**50))

    with pytest.raises(ResourceError, match=f"memory on cpu with {FRAMES} frames") as refused:
        events(engine="reference")

    assert refused.value.exit_code == 5


def test_other_errors_are_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = loaded().model.get_decoder().layers[0]
    monkeypatch.setattr(layer, "forward", lambda *_args, **_kwargs: torch.ones(2) @ torch.ones(3))

    with pytest.raises(RuntimeError, match="size"):
        events(engine="reference")


def test_one_frame() -> None:
    got = result(frames=1)

    assert [r.total for r in got.retention] == [TOKENS_PER_FRAME]
    assert 0 < got.retention[0].kept < TOKENS_PER_FRAME


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "moving.mp4"
    write_clip(path, clip(12)[1].images, fps=6.0)
    return path


def test_the_thread_that_answers_has_the_models_gpu_as_its_current_one(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is another thread than the one that loads the model, and what CUDA launches follows the thread."""
    current, answering = set(), set()
    monkeypatch.setattr(
        "sharpv_cli.pipeline.clip.make_current",
        lambda device: current.add((threading.current_thread(), device.type)),
    )
    project = torch.nn.functional.linear

    def linear(*args: Any) -> torch.Tensor:
        answering.add(threading.current_thread())
        return project(*args)

    monkeypatch.setattr("torch.nn.functional.linear", linear)
    for event in ask(video, QUESTION, settings(sampling={"frames": 4})):
        if isinstance(event, Loaded):
            answering.clear()  # a model that is loaded is tried, by stock operations

    assert answering == {threading.current_thread()}
    assert current == {(threading.current_thread(), "cpu")}


@pytest.mark.parametrize(("device", "told"), [("cuda:1", ["cuda:1"]), ("cuda", []), ("cpu", []), ("mps", [])])
def test_only_a_gpu_with_a_number_is_made_current(
    device: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", lambda chosen: seen.append(str(chosen)))
    make_current(torch.device(device))
    assert seen == told


def test_a_question_about_a_file(video: Path) -> None:
    seen = list(ask(video, QUESTION, settings(sampling={"frames": 4})))

    assert [e.stage for e in seen if isinstance(e, StageStarted)] == [
        "load",
        "decode",
        "preprocess",
        "vision",
        "prefill",
        "generate",
    ]
    assert isinstance(seen[-1], Finished)
    got = seen[-1].answer
    assert (got.video.frames_total, len(got.sample), len(got.retention)) == (12, 4, 4)
    assert got.text
    timing = got.timing
    assert min(timing.load_sec, timing.decode_sec) > 0
    assert timing.total_sec > max(timing.load_sec, timing.decode_sec) + timing.ttft_sec


def test_a_video_that_was_scanned_is_not_scanned_again(video: Path) -> None:
    given, found = settings(sampling={"frames": 4}), scan(video)
    want = list(ask(video, QUESTION, given))[-1]

    got = list(ask(video, QUESTION, given, replace(found, warnings=("as this scan says",))))[-1]

    assert isinstance(got, Finished) and isinstance(want, Finished)
    assert got.answer.text == want.answer.text
    assert got.answer.warnings == ("as this scan says", *want.answer.warnings)
    np.testing.assert_array_equal(got.answer.sample.images, want.answer.sample.images)


def test_frames_by_rate(video: Path) -> None:
    by_rate = {"strategy": "fps", "fps": 3.0, "max_frames": 5}

    last = list(ask(video, QUESTION, settings(sampling=by_rate)))[-1]

    assert isinstance(last, Finished)
    assert len(last.answer.sample) == 5


def test_a_bad_video_does_not_wait_for_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    loading, release, loading_ended = threading.Event(), threading.Event(), threading.Event()
    decode = opening.decode

    def decode_once_loading(*args: Any) -> Any:
        loading.wait(timeout=30)
        return decode(*args)

    def slow_load(_settings: Settings, *, between_steps: Any) -> None:
        loading.set()
        release.wait(timeout=30)
        try:
            between_steps()
        finally:
            loading_ended.set()

    monkeypatch.setattr(opening, "decode", decode_once_loading)
    monkeypatch.setattr(opening, "open_session", slow_load)
    try:
        with pytest.raises(VideoError, match=r"nowhere\.mp4"):
            list(ask("nowhere.mp4", QUESTION, settings()))
        assert not loading_ended.is_set()
    finally:
        release.set()
    assert loading_ended.wait(timeout=30)


def test_a_bad_model_does_not_wait_for_the_video(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, decoding_ended = threading.Event(), threading.Event()
    decode = opening.decode

    def slow_decode(*args: Any) -> Any:
        release.wait(timeout=30)
        try:
            return decode(*args)
        finally:
            decoding_ended.set()

    monkeypatch.setattr(opening, "decode", slow_decode)
    try:
        with pytest.raises(ModelError, match="no such folder"):
            list(ask(video, QUESTION, settings(model={"id": str(tmp_path / "none")})))
        assert not decoding_ended.is_set()
    finally:
        release.set()
    assert decoding_ended.wait(timeout=30)


def test_no_gradient_is_recorded() -> None:
    with torch.enable_grad():
        events()

    assert all(parameter.grad is None for parameter in loaded().model.parameters())
    assert torch.is_grad_enabled()


def test_an_answer_ends_before_the_stop_text_and_says_so() -> None:
    whole = result(generation={"max_new_tokens": 24})
    stop = next(letter for letter in whole.text[1:] if letter.isascii() and letter.isalpha())

    short = result(generation={"max_new_tokens": 24, "stop": stop})

    assert short.text == whole.text.partition(stop)[0]
    assert short.finish_reason == "stop"
    assert 0 < short.generated_tokens < whole.generated_tokens
