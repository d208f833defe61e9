"""Profiling with the pipeline: what is measured, in which order, and that no time is lost on the way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_checkpoint import LAYERS
from tiny_model import QUESTION, clip, folder, loaded

from sharpv_cli import metrics
from sharpv_cli.engine import memory as engine_memory
from sharpv_cli.errors import UsageError
from sharpv_cli.pipeline import (
    METHODS,
    SweptSettings,
    answering,
    method_names,
    profile,
    profiling,
    rates,
    reading,
)
from sharpv_cli.pipeline.answering import answer
from sharpv_cli.pipeline.methods import settings_of
from sharpv_cli.settings import Settings
from sharpv_cli.types import (
    Answer,
    ClipProfile,
    DeviceRates,
    Finished,
    ProfileEvent,
    RunStarted,
    StageStarted,
    Timings,
)
from sharpv_cli.video.encoding import write_clip

NEW = 6
RATES = DeviceRates(1e10, 1e11, "float32")


def settings(**groups: Any) -> Settings:
    generation = {"max_new_tokens": 12} | groups.pop("generation", {})
    model = {"id": str(folder()), "attention": "sdpa"}
    sampling = {"frames": 4} | groups.pop("sampling", {})
    # Above M of the paper: every version of the stack must discard a layer of this random model.
    memory = {"m": 0.25} | groups.pop("memory", {})
    return Settings.model_validate(
        {"model": model, "generation": generation, "sampling": sampling, "memory": memory, "device": "cpu"}
        | groups
    )


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _, sample = clip(frames=12)
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_clip(path, list(sample.images), 4.0)
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is loaded already, and the device's rates are known."""
    monkeypatch.setattr(profiling, "load_model", lambda settings: loaded())
    monkeypatch.setattr(rates, "measure_rates", lambda device, dtype: RATES)


def measure(video: Path, given: Settings | None = None, **options: Any) -> list[ProfileEvent]:
    options = {"warmup": 0, "runs": 1, "new_tokens": NEW} | options
    return list(profile(video, QUESTION, given or settings(), **options))


def last(events: list[ProfileEvent]) -> ClipProfile:
    assert isinstance(events[-1], ClipProfile)
    return events[-1]


def one_answer(given: Settings, **options: Any) -> Answer:
    events = answer(loaded(), *clip(), QUESTION, given, **options)
    return next(event.answer for event in events if isinstance(event, Finished))


# The clock


class Device:
    """A clock that stands still but for the work it is told of; queued work is only done when waited for."""

    def __init__(self) -> None:
        self.now = 100.0
        self.queued = 0.0

    def synchronize(self, _device: object) -> None:
        self.now += self.queued
        self.queued = 0.0


def test_each_stage_has_its_own_work_and_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device()

    def spend(function: Any, *, host: float = 0.0, queued: float = 0.0) -> Any:
        def spending(*args: Any, **kwargs: Any) -> Any:
            device.now += host
            device.queued += queued
            return function(*args, **kwargs)

        return spending

    def step(_layer: Any, _args: Any, kwargs: dict[str, Any], _output: Any) -> None:
        reads_prompt = kwargs["inputs_embeds"].shape[1] > 1
        device.queued += 8.0 if reads_prompt else 0.0
        device.now += 0.0 if reads_prompt else 0.5  # the token's id is waited for in each step

    monkeypatch.setattr(metrics, "now", lambda: device.now)
    monkeypatch.setattr(answering, "synchronize", device.synchronize)
    monkeypatch.setattr(reading, "build_inputs", spend(reading.build_inputs, host=1.0))
    monkeypatch.setattr(reading, "capture", spend(reading.capture, queued=2.0))
    monkeypatch.setattr(reading, "select", spend(reading.select, host=1.0, queued=3.0))
    monkeypatch.setattr(engine_memory, "similarity", spend(engine_memory.similarity, queued=0.25))
    hook = loaded().model.get_decoder().register_forward_hook(step, with_kwargs=True)
    try:
        got = one_answer(settings(), load_sec=7.0, decode_sec=3.0, new_tokens=NEW).timing
    finally:
        hook.remove()

    prefill = 8.0 + LAYERS * 0.25
    assert got == Timings(
        load_sec=7.0,
        decode_sec=3.0,
        preprocess_sec=1.0,
        vision_sec=2.0,
        prune_sec=4.0,
        prefill_sec=prefill,
        ttft_sec=7.0 + prefill,
        tpot_sec=0.5,
        total_sec=7.0 + prefill + (NEW - 1) * 0.5,
    )


@contextmanager
def calls_as_seconds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that ticks with every call of a function, Python's or C's: all work counts, no machine is slow."""
    ticks = 0

    def tick(_frame: object, event: str, _argument: object) -> None:
        nonlocal ticks
        ticks += event in ("call", "c_call")

    with monkeypatch.context() as patch:
        patch.setattr(metrics, "now", lambda: float(ticks))
        sys.setprofile(tick)
        try:
            yield
        finally:
            sys.setprofile(None)


@pytest.mark.parametrize("method", METHODS)
def test_the_stages_sum_to_the_whole(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings_of(method, settings())
    one_answer(given, new_tokens=NEW)  # imports and other first-time work are no stage
    with calls_as_seconds(monkeypatch):
        began = metrics.now()
        got = one_answer(given, new_tokens=NEW).timing
        spent = metrics.now() - began

    assert got.tpot_sec is not None
    stages = got.preprocess_sec + got.vision_sec + got.prune_sec + got.prefill_sec
    assert 0.95 * got.ttft_sec <= stages <= got.ttft_sec
    assert got.ttft_sec + (NEW - 1) * got.tpot_sec == pytest.approx(got.total_sec, rel=0.05)
    assert 0.95 * spent <= got.total_sec <= spent
    assert min(got.preprocess_sec, got.vision_sec, got.prune_sec, got.prefill_sec) > 0


# Runs


@pytest.mark.usefixtures("quick")
def test_methods_take_turns_and_each_run_is_followed_by_a_result(video: Path) -> None:
    sweep = [SweptSettings("w", 2.0, settings(visual={"w": 2.0}))]
    events = measure(video, methods=("dense", "both"), warmup=1, runs=2, sweep=sweep)

    started = [event for event in events if isinstance(event, RunStarted)]
    labels = ["dense", "both", "w=2"]
    kinds = ["answer", "warm-up", "timed", "timed"]
    assert [(run.kind, run.label) for run in started] == [(kind, label) for kind in kinds for label in labels]
    assert [(run.number, run.total) for run in started] == [(number, 12) for number in range(1, 13)]
    assert [event.stage for event in events if isinstance(event, StageStarted)] == ["decode", "load"]
    for run, after in pairwise(events):
        if isinstance(run, RunStarted):
            assert isinstance(after, RunStarted if run.kind == "warm-up" else ClipProfile)

    results = [event for event in events if isinstance(event, ClipProfile)]
    kept = [[len(one.runs) for one in [*r.methods, *(p.profile for p in r.sweep)]] for r in results]
    assert kept == [
        [0], [0, 0], [0, 0, 0],
        [1, 0, 0], [1, 1, 0], [1, 1, 1], [2, 1, 1], [2, 2, 1], [2, 2, 2],
        [2, 2, 2],
    ]  # fmt: skip
    end = last(events)
    assert [one.method for one in end.methods] == ["dense", "both"]
    assert [(point.key, point.value, point.profile.method) for point in end.sweep] == [("w", 2.0, "both")]
    assert (end.question, end.new_tokens, end.warmup, end.m) == (QUESTION, NEW, 1, 0.25)
    assert (end.rates, end.interrupted) == (RATES, False)


@pytest.mark.usefixtures("quick")
def test_each_method_answers_as_ask_would_with_its_settings(video: Path) -> None:
    result = last(measure(video, runs=1))
    info, sample = profiling.decode_video(video, settings().sampling)
    off = {"visual": {"mode": "off"}, "memory": {"enabled": False}}
    changes = {
        "dense": off,
        "visual": {"memory": off["memory"]},
        "memory": {"visual": off["visual"]},
        "both": {},
    }
    for one in result.methods:
        events = answer(loaded(), info, sample, QUESTION, settings(**changes[one.method]))
        want = next(event.answer for event in events if isinstance(event, Finished))
        got = one.answer
        assert (got.text, got.layers, got.retention) == (want.text, want.layers, want.retention)
        assert got.memory.kv_retention == want.memory.kv_retention
        np.testing.assert_array_equal(got.keep, want.keep)
    kept = {
        one.method: (one.answer.visual_retention, one.answer.memory.kv_retention) for one in result.methods
    }
    assert kept["dense"] == (1.0, 1.0)
    assert kept["visual"][0] == kept["visual"][1] == kept["both"][0] < 1.0
    assert kept["memory"][0] == 1.0 > kept["memory"][1]
    assert kept["both"][1] < kept["visual"][1]


@pytest.mark.usefixtures("quick")
def test_costs_follow_what_is_stored(video: Path) -> None:
    cost = {one.method: one.cost for one in last(measure(video)).methods}
    assert cost["dense"].prefill_flops == cost["memory"].prefill_flops
    assert cost["visual"].prefill_flops == cost["both"].prefill_flops < cost["dense"].prefill_flops
    read = {method: one.decode_kv_bytes for method, one in cost.items()}
    assert read["dense"] > max(read["visual"], read["memory"])
    assert read["both"] < min(read["visual"], read["memory"])
    assert len({one.decode_weight_bytes for one in cost.values()}) == 1


def test_timed_runs_go_on_where_the_answer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    push = answering.TextStream.push
    monkeypatch.setattr(
        answering.TextStream, "push", lambda self, token: seen.append(token) or push(self, token)
    )
    one_answer(settings(), new_tokens=NEW)
    whole = list(seen)
    stop = next(token for index, token in enumerate(whole) if index and token not in whole[:index])
    monkeypatch.setattr(loaded().model.generation_config, "eos_token_id", stop)

    seen.clear()
    natural = one_answer(settings())
    assert (natural.finish_reason, natural.generated_tokens) == ("stop", whole.index(stop))
    seen.clear()
    timed = one_answer(settings(), new_tokens=NEW)
    assert (timed.finish_reason, timed.generated_tokens) == ("length", NEW)
    assert seen == whole


@pytest.mark.usefixtures("quick")
def test_a_clip_is_decoded_once_for_each_way_of_sampling(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    decode_video = profiling.decode_video

    def decode(path: Any, sampling: Any) -> Any:
        decoded.append(sampling.frames)
        return decode_video(path, sampling)

    monkeypatch.setattr(profiling, "decode_video", decode)
    frames = [SweptSettings("frames", float(n), settings(sampling={"frames": n})) for n in (2, 4, 8)]
    result = last(measure(video, methods=("visual", "both"), sweep=frames))

    assert decoded == [4, 2, 8]
    assert [len(point.profile.answer.sample) for point in result.sweep] == [2, 4, 8]
    assert [len(one.answer.sample) for one in result.methods] == [4, 4]
    measured = [*result.methods, *(point.profile for point in result.sweep)]
    assert len({run.load_sec for one in measured for run in one.runs}) == 1
    assert len({run.decode_sec for one in measured for run in one.runs}) == 3


@pytest.mark.usefixtures("quick")
def test_sampled_answers_share_a_seed(video: Path) -> None:
    warm = settings(generation={"temperature": 1.0})
    sweep = [SweptSettings("m", -1.0, settings(generation={"temperature": 1.0}, memory={"m": -1.0}))]
    result = last(measure(video, warm, methods=("visual", "both"), runs=1, sweep=sweep))
    one, other, point = *result.methods, result.sweep[0].profile
    assert one.answer.seed == other.answer.seed == point.answer.seed is not None
    assert one.answer.text == point.answer.text, "both keep the same tokens and every layer"
    given = settings(generation={"temperature": 1.0, "seed": 5})
    assert last(measure(video, given, methods=("both",))).methods[0].answer.seed == 5


# Ctrl-C


@pytest.mark.usefixtures("quick")
def test_ctrl_c_in_a_run_keeps_the_runs_before_it(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = profile(video, QUESTION, settings(), methods=("dense", "both"), warmup=0, runs=3, new_tokens=NEW)
    for event in events:
        if isinstance(event, RunStarted) and event.number == 4:  # the first timed run of `both`
            break
    pushed = iter([None, None])
    push = answering.TextStream.push

    def press(self: Any, token: int) -> str:
        if next(pushed, "stop") == "stop":
            raise KeyboardInterrupt
        return push(self, token)

    monkeypatch.setattr(answering.TextStream, "push", press)
    rest = list(events)
    assert len(rest) == 1
    assert isinstance(rest[0], ClipProfile)
    assert rest[0].interrupted
    assert [len(one.runs) for one in rest[0].methods] == [1, 0]
    assert all(one.answer.finish_reason != "interrupted" for one in rest[0].methods)


@pytest.mark.usefixtures("quick")
def test_ctrl_c_between_two_events_is_told_to_the_generator(video: Path) -> None:
    events: Any = profile(video, QUESTION, settings(), methods=("dense",), warmup=0, runs=2, new_tokens=NEW)
    before = next(event for event in events if isinstance(event, ClipProfile))
    after = events.throw(KeyboardInterrupt())
    assert (before.interrupted, after.interrupted) == (False, True)
    assert after.methods == before.methods
    assert list(events) == []


@pytest.mark.usefixtures("quick")
def test_ctrl_c_before_the_first_answer_is_raised(video: Path) -> None:
    events: Any = profile(video, QUESTION, settings())
    next(event for event in events if isinstance(event, RunStarted))
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt())


# Methods by name


def test_methods_by_name_come_in_their_own_order() -> None:
    assert method_names("both, dense") == ("dense", "both")
    with pytest.raises(UsageError, match="unknown method: 'sparse'"):
        method_names("dense,sparse")
    with pytest.raises(UsageError, match="twice"):
        method_names("dense,dense")
    with pytest.raises(UsageError, match="unknown method: ''"):
        method_names("")
