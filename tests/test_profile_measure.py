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
from events import answer, answer_about
from tiny_checkpoint import LAYERS
from tiny_model import QUESTION, clip, folder, loaded, session

from sharpv_cli import metrics
from sharpv_cli.engine import factory
from sharpv_cli.engine import memory as engine_memory
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.errors import ResourceError, UsageError
from sharpv_cli.models import wording
from sharpv_cli.models.streaming import TextStream
from sharpv_cli.pipeline import (
    METHODS,
    Plan,
    SweptSettings,
    bench,
    engine_names,
    fitting,
    method_names,
    profile,
    profiling,
    question,
    rates,
    selecting,
)
from sharpv_cli.pipeline import clip as clips
from sharpv_cli.pipeline.bench import Bench
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.compared import settings_of
from sharpv_cli.pipeline.lanes import MethodLane
from sharpv_cli.pipeline.long import chunks
from sharpv_cli.pipeline.prompts import Prompts
from sharpv_cli.pipeline.stock import run_stock
from sharpv_cli.session import Session
from sharpv_cli.settings import Settings
from sharpv_cli.types import (
    Answer,
    ClipProfile,
    DeviceRates,
    Failure,
    Finished,
    ProfileEvent,
    RunStarted,
    StageStarted,
    SweepFailure,
    Timings,
)
from sharpv_cli.video.encoding import write_clip
from sharpv_cli.video.frames import Frames

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
    monkeypatch.setattr(profiling, "open_session", lambda settings: session())
    monkeypatch.setattr(rates, "measure_rates", lambda device, dtype: RATES)


def measure(video: Path, given: Settings | None = None, **options: Any) -> list[ProfileEvent]:
    options = {"warmup": 0, "runs": 1, "new_tokens": NEW} | options
    scan = options.pop("scan", None)
    return list(profile(video, QUESTION, given or settings(), Plan(**options), scan))


def last(events: list[ProfileEvent]) -> ClipProfile:
    assert isinstance(events[-1], ClipProfile)
    return events[-1]


def one_answer(given: Settings, **options: Any) -> Answer:
    events = answer(session(given.engine), *clip(), QUESTION, given, **options)
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
    monkeypatch.setattr(question, "synchronize", device.synchronize)
    monkeypatch.setattr(wording, "inputs_and_wordings", spend(wording.inputs_and_wordings, host=1.0))
    monkeypatch.setattr(clips, "capture", spend(clips.capture, queued=2.0))
    monkeypatch.setattr(selecting, "select", spend(selecting.select, host=1.0, queued=3.0))
    monkeypatch.setattr(engine_memory, "similarity_at", spend(engine_memory.similarity_at, queued=0.25))
    hook = loaded().model.get_decoder().register_forward_hook(step, with_kwargs=True)
    try:
        given = settings(engine="reference")
        got = one_answer(given, load_sec=7.0, decode_sec=3.0, new_tokens=NEW).timing
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
    labels = ["dense", "sharpv", "w=2"]
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
    frames = profiling.decode(video, settings())
    off = {"visual": {"mode": "off"}, "memory": {"enabled": False}}
    changes = {
        "dense": off,
        "visual": {"memory": off["memory"]},
        "memory": {"visual": off["visual"]},
        "both": {},
    }
    for one in result.methods:
        events = answer(session(), frames.info, frames.sample, QUESTION, settings(**changes[one.method]))
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
    push = TextStream.push
    monkeypatch.setattr(TextStream, "push", lambda self, token: seen.append(token) or push(self, token))
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
    really = profiling.decode

    def decode(path: Any, given: Settings, scan: Any) -> Any:
        decoded.append(given.sampling.frames)
        return really(path, given, scan)

    monkeypatch.setattr(profiling, "decode", decode)
    frames = [SweptSettings("frames", float(n), settings(sampling={"frames": n})) for n in (2, 4, 8)]
    result = last(measure(video, methods=("visual", "both"), sweep=frames))

    assert decoded == [4, 2, 8]
    points = [(point.profile.method, len(point.profile.answer.sample)) for point in result.sweep]
    assert points == [(method, n) for n in (2, 4, 8) for method in ("both", "dense")]
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


# Long clips


@pytest.mark.usefixtures("quick")
def test_a_long_clip_is_decoded_anew_in_each_run_while_it_is_encoded(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "WHOLE_FRAMES", 4)
    monkeypatch.setattr(chunks, "CHUNK_FRAMES", 3)
    given = settings(sampling={"frames": 8})
    result = last(measure(video, given, methods=("dense", "both"), runs=2, engines=("stock", "fast")))
    for one in result.methods:
        assert len({run.decode_sec for run in one.runs}) == 2
        for run in one.runs:
            assert 0 < run.decode_wait_sec <= run.decode_sec
            stages = (run.decode_wait_sec, run.preprocess_sec, run.vision_sec, run.prune_sec, run.prefill_sec)
            assert sum(stages) <= run.ttft_sec
    assert {len(one.runs) for one in result.engines} == {2}
    dense = result.methods[0].answer
    for one in result.engines:
        if one.method == "dense":
            assert one.answer is not None
            assert one.answer.text == dense.text


# What cannot be measured


def full(frames: int) -> Any:
    """A reading that is out of memory with so many frames or more, and as it was with fewer."""
    answer = bench.answer

    def answered(prompts: Prompts, *args: Any, **options: Any) -> Any:
        if (count := len(prompts.clip.sample)) >= frames:
            raise ResourceError(f"{count} frames do not fit", hint="take fewer")
        return answer(prompts, *args, **options)

    return answered


@pytest.mark.usefixtures("quick")
def test_a_value_that_runs_out_of_memory_is_a_row_with_its_reason(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "answer", full(8))
    sweep = [SweptSettings("frames", float(n), settings(sampling={"frames": n})) for n in (8, 2)]
    result = last(measure(video, methods=("both",), runs=2, warmup=1, sweep=sweep))

    assert [(point.value, point.profile.method) for point in result.sweep] == [(2.0, "both"), (2.0, "dense")]
    assert {len(point.profile.runs) for point in result.sweep} == {2}
    why = Failure("8 frames do not fit", "take fewer")
    assert result.sweep_failures == tuple(
        SweepFailure("frames", 8.0, method, why) for method in ("both", "dense")
    )


@pytest.mark.usefixtures("quick")
def test_a_value_whose_frames_cannot_be_decoded_is_a_row_too(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = profiling.decode

    def decode(path: Any, given: Settings, scan: Any) -> Any:
        if given.sampling.frames == 8:
            raise ResourceError("8 frames are too many to hold")
        return really(path, given, scan)

    monkeypatch.setattr(profiling, "decode", decode)
    sweep = [SweptSettings("frames", 8.0, settings(sampling={"frames": 8}))]
    result = last(measure(video, methods=("both",), sweep=sweep))
    assert [failed.failure.error for failed in result.sweep_failures] == ["8 frames are too many to hold"] * 2
    with pytest.raises(ResourceError):
        measure(video, settings(sampling={"frames": 8}), methods=("both",))


@pytest.mark.usefixtures("quick")
def test_a_method_that_cannot_be_measured_ends_it(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "answer", full(4))
    with pytest.raises(ResourceError, match="4 frames do not fit"):
        measure(video, methods=("both",))


# Engines


@pytest.mark.usefixtures("quick")
def test_engines_take_turns_and_answer_alike(video: Path) -> None:
    events = measure(video, methods=("dense",), warmup=1, runs=2, engines=("stock", "reference", "fast"))
    labels = ["dense", "stock", "reference, dense", "fast, dense", "reference, sharpv", "fast, sharpv"]
    started = [event for event in events if isinstance(event, RunStarted)]
    assert [run.label for run in started] == labels * 4
    assert {run.total for run in started} == {24}

    engines = {(one.engine, one.method): one for one in last(events).engines}
    dense = last(events).methods[0].answer
    for (name, method), one in engines.items():
        assert one.failure is None
        assert len(one.runs) == 2
        assert one.answer is not None
        stock = name == "stock"
        for run in one.runs:
            assert 0 < run.preprocess_sec < run.ttft_sec < run.total_sec
            assert all((sec is None) == stock for sec in (run.vision_sec, run.prune_sec, run.prefill_sec))
            assert run.tpot_sec is not None
            assert run.ttft_sec + (NEW - 1) * run.tpot_sec <= run.total_sec * 1.001
        if method == "dense":
            assert (one.answer.text, one.answer.kv_bytes) == (dense.text, dense.memory.kv_bytes)
            assert one.answer.tokens == engines["stock", "dense"].answer.tokens
        else:
            assert one.answer.kv_bytes < dense.memory.kv_bytes
            assert one.answer.tokens == engines["reference", "both"].answer.tokens


def test_stock_generates_a_set_number_of_tokens_or_ends_where_the_model_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timed = Clip(session(), Frames(*clip()), settings(), new_tokens=12)
    whole = run_stock(timed, QUESTION)[0].tokens
    assert len(whole) == 12
    stop = next(token for index, token in enumerate(whole) if index and token not in whole[:index])
    monkeypatch.setattr(loaded().model.generation_config, "eos_token_id", stop)

    natural = Clip(session(), Frames(*clip()), settings_of("dense", settings()))
    answered, run = run_stock(natural, QUESTION)
    assert answered.tokens == whole[: whole.index(stop)]
    own = list(answer_about(natural, QUESTION))[-1]
    assert isinstance(own, Finished)
    assert answered.tokens == own.answer.token_ids
    assert run_stock(timed, QUESTION)[0].tokens == whole
    assert (run.tpot_sec is None) == (len(answered.tokens) < 2)


def test_stock_is_refused_where_it_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "available_bytes", lambda device: 10_000)
    with pytest.raises(ResourceError, match="are free on cpu"):
        run_stock(Clip(session(), Frames(*clip()), settings()), QUESTION)


@pytest.mark.usefixtures("quick")
def test_an_engine_that_cannot_run_says_why_and_ends_nothing(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factory, "why_not_fast", lambda loaded: "it is Thursday")
    monkeypatch.setattr(
        profiling, "open_session", lambda settings: Session(loaded(), ReferenceEngine(loaded().model))
    )
    result = last(measure(video, methods=("both",), runs=2, engines=("reference", "fast")))
    runs = {(one.engine, one.method): len(one.runs) for one in result.engines}
    assert runs == {
        ("reference", "dense"): 2, ("fast", "dense"): 0, ("reference", "both"): 2, ("fast", "both"): 0
    }  # fmt: skip
    for one in result.engines:
        if one.engine == "fast":
            assert one.answer is None
            assert one.failure is not None
            assert "it is Thursday" in one.failure.error


@pytest.mark.usefixtures("quick")
def test_with_sharpv_off_engines_are_measured_dense_only(video: Path) -> None:
    off = settings(visual={"mode": "off"}, memory={"enabled": False})
    result = last(measure(video, off, methods=("dense",), engines=("reference",)))
    assert [(one.engine, one.method) for one in result.engines] == [("reference", "dense")]


def test_each_lane_has_an_engine_of_its_own_and_all_share_the_weights() -> None:
    shared = Bench(loaded(), 0.0, "", None, {}, set(), QUESTION, NEW)
    lanes = [MethodLane("both", settings()) for _ in range(2)]
    lanes.append(MethodLane("both", settings(engine="fast")))
    engines = [lane.session(shared).engine for lane in lanes]
    assert len({id(engine) for engine in engines}) == 3
    assert lanes[0].session(shared).engine is engines[0]
    weights = [[layer.qkv.data_ptr() for layer in engine._decoder.layers] for engine in engines]
    assert weights[0] == weights[1] == weights[2]


# Ctrl-C


@pytest.mark.usefixtures("quick")
def test_ctrl_c_in_a_run_keeps_the_runs_before_it(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = profile(video, QUESTION, settings(), Plan(("dense", "both"), warmup=0, runs=3, new_tokens=NEW))
    for event in events:
        if isinstance(event, RunStarted) and event.number == 4:  # the first timed run of `both`
            break
    pushed = iter([None, None])
    push = TextStream.push

    def press(self: Any, token: int) -> str:
        if next(pushed, "stop") == "stop":
            raise KeyboardInterrupt
        return push(self, token)

    monkeypatch.setattr(TextStream, "push", press)
    rest = list(events)
    assert len(rest) == 1
    assert isinstance(rest[0], ClipProfile)
    assert rest[0].interrupted
    assert [len(one.runs) for one in rest[0].methods] == [1, 0]
    assert all(one.answer.finish_reason != "interrupted" for one in rest[0].methods)


@pytest.mark.usefixtures("quick")
def test_ctrl_c_between_two_events_is_told_to_the_generator(video: Path) -> None:
    events: Any = profile(video, QUESTION, settings(), Plan(("dense",), warmup=0, runs=2, new_tokens=NEW))
    before = next(event for event in events if isinstance(event, ClipProfile))
    after = events.throw(KeyboardInterrupt())
    assert (before.interrupted, after.interrupted) == (False, True)
    assert after.methods == before.methods
    assert list(events) == []


@pytest.mark.usefixtures("quick")
def test_ctrl_c_before_the_first_answer_is_raised(video: Path) -> None:
    events: Any = profile(video, QUESTION, settings(), Plan())
    next(event for event in events if isinstance(event, RunStarted))
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt())


# Methods by name


def test_engines_by_name_come_in_their_own_order() -> None:
    assert engine_names("fast,stock") == ("stock", "fast")
    with pytest.raises(UsageError, match="unknown engine: 'quick'"):
        engine_names("quick")


def test_methods_by_name_come_in_their_own_order() -> None:
    assert method_names("both, dense") == method_names("sharpv,dense") == ("dense", "both")
    with pytest.raises(UsageError, match="unknown method: 'sparse'"):
        method_names("dense,sparse")
    with pytest.raises(UsageError, match="twice"):
        method_names("dense,dense")
    with pytest.raises(UsageError, match="unknown method: ''"):
        method_names("")
