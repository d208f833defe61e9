"""Clips that go through the vision tower together get what each one gets alone."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import pytest
import schedules
import torch
from tiny_families import RECIPES, clip, loaded
from vision_schedules import EVERYTHING, Asked, Coming, alike, alone, answers, differences, session, together

from sharpv_cli.engine import vision
from sharpv_cli.engine.together import Together
from sharpv_cli.engine.vision import FULL, Vision
from sharpv_cli.errors import ModelError
from sharpv_cli.models.capture import VisualPrompt, capture
from sharpv_cli.models.families import family_of
from sharpv_cli.models.joined import TowerCall, run_tower
from sharpv_cli.models.prompting import build_inputs
from sharpv_cli.session import Session
from sharpv_cli.settings import PromptSettings
from sharpv_cli.types import Waiting

FAMILY = "llava_onevision"
PIXELS = 3 * 56 * 56  # of one of its frames
CLIPS = (Asked(FAMILY, 2), Asked(FAMILY, 4), Asked(FAMILY, 1), Asked(FAMILY, 3))


def vision_of(session: Session) -> Vision:
    assert session.several is not None
    return session.several.vision


def rows_of_runs(session: Session, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows the tower takes in each of its runs, from now on."""
    rows = list[int]()
    family = session.loaded.family
    tower = getattr(session.loaded.model.base_model, family.tower)
    forward = tower.forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        rows.append(TowerCall(args, kwargs).rows)
        return forward(*args, **kwargs)

    monkeypatch.setattr(tower, "forward", counted)
    return rows


@pytest.mark.parametrize("family", RECIPES)
def test_one_run_is_for_clips_of_any_number_of_frames_and_grids(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [Asked(family, 2), Asked(family, 5, 1), Asked(family, 4, 2)]
    want = [alone(one) for one in asked]
    session = together(family)
    runs = rows_of_runs(session, monkeypatch)

    got = answers(session, asked)

    assert len(runs) == 1
    assert vision_of(session).largest == 3
    assert all(map(alike, got, want))
    assert len({answer.token_ids for answer in want}) > 1
    assert len({answer.timing.vision_sec for answer in got}) == 1, "it is that of the run"


@pytest.mark.parametrize("seed", range(12))
def test_whatever_comes_whenever_is_answered_as_it_would_be_alone(seed: int) -> None:
    """`python tests/helpers/vision_schedules.py 1000` tries more."""
    assert differences(seed) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("family", RECIPES)
def test_so_it_is_on_a_gpu(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "device", "cuda")
    asked = [Asked(family, 2), Asked(family, 5, 1), Asked(family, 4, 2)]
    want = [alone(one) for one in asked]
    several = session(family).together(8)
    assert vision_of(several).full == FULL

    assert all(map(alike, answers(several, asked), want))
    assert vision_of(several).largest == 3


def waiting(session: Session, asked: Sequence[Asked]) -> list[Generator[Any]]:
    """Answers that wait for the tower."""
    coming = Coming(session, asked)
    works = [work for _ in asked if (work := coming.begin(False)) is not None]
    for work in works:
        assert isinstance(next(work), Waiting)
    return works


def test_a_run_takes_no_more_than_fills_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips of 2, 4, 1 and 3 frames, first come, first served; a smaller one goes along where there is room."""
    session = together(FAMILY, full=5 * PIXELS)
    runs = rows_of_runs(session, monkeypatch)
    works = waiting(session, CLIPS)
    assert session.several is not None
    assert session.several.step() == 4
    assert runs == [2 + 1, 4, 3]
    for work in works:
        work.close()


def test_others_begin_for_company_until_the_device_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    session = together(FAMILY, full=5 * PIXELS)
    asked = [Asked(FAMILY, count) for count in (2, 1, 2, 2)]
    want = [alone(one) for one in asked]
    runs = rows_of_runs(session, monkeypatch)
    assert all(map(alike, answers(session, asked), want))
    assert runs == [5, 2]


def test_who_fills_the_device_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    session = together(FAMILY, full=4 * PIXELS)
    want = alone(CLIPS[1])
    monkeypatch.setattr(Vision, "encoded", None)
    assert alike(answers(session, [CLIPS[1]])[0], want)


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_on_a_cpu_clips_have_no_company(engine: str) -> None:
    session = Session.of(loaded(FAMILY), engine).together()  # type: ignore[arg-type]
    assert vision_of(session).full == 0


def test_who_comes_alone_is_not_made_to_wait_for_company(monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes the stock model's own way."""
    session, steps = together(FAMILY), list[int]()
    step = Together.step
    monkeypatch.setattr(Together, "step", lambda engine: (steps.append(count := step(engine)), count)[1])
    monkeypatch.setattr(vision, "at_tower", None)
    assert alike(answers(session, [CLIPS[0]])[0], alone(CLIPS[0]))
    assert steps[0] == 1
    assert vision_of(session).largest == 1


def test_who_leaves_keeps_nobody_from_going_on() -> None:
    session = together(FAMILY)
    works = waiting(session, CLIPS)
    works[1].close()
    assert session.several is not None
    assert session.several.step() == 3
    assert vision_of(session).largest == 3
    for work in works:
        work.close()


def failing(monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception], most: int) -> list[int]:
    """A run of more clips than `most` fails; how many they were each time."""
    tried = list[int]()

    def run(model: Any, calls: Any, family: Any) -> list[Any]:
        tried.append(len(calls))
        if len(calls) > most:
            raise error()
        return run_tower(model, calls, family)

    monkeypatch.setattr(vision, "run_tower", run)
    return tried


@pytest.mark.parametrize(
    "error", [lambda: RuntimeError("a kernel failed"), lambda: ModelError("no", hint="")]
)
def test_where_a_run_fails_each_is_run_alone(
    error: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tried = together(FAMILY), failing(monkeypatch, error, 1)
    assert all(map(alike, answers(session, CLIPS), map(alone, CLIPS)))
    assert tried == [4]
    assert vision_of(session).full == EVERYTHING


def test_out_of_memory_lets_fewer_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    session, tried = together(FAMILY, most=4), failing(monkeypatch, torch.OutOfMemoryError, 2)
    asked = [Asked(FAMILY, 2)] * 8
    assert all(map(alike, answers(session, asked), map(alone, asked)))
    assert tried == [4, 2, 2]
    assert vision_of(session).full == 4 * PIXELS


def test_a_device_that_has_failed_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, lambda: torch.AcceleratorError("gone"), 1)
    with pytest.raises(torch.AcceleratorError):
        answers(together(FAMILY), CLIPS)


def inputs(frames: int) -> dict[str, torch.Tensor]:
    model = loaded(FAMILY)
    return build_inputs(model, *clip(tuple(range(frames))), "What is it?", PromptSettings())


def test_an_error_is_the_clips_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one whose frames are of another size than the tower takes: it would break a run, and its own as well."""
    engine = vision_of(together(FAMILY))
    good, broken = inputs(2), inputs(3)
    broken["pixel_values_videos"] = broken["pixel_values_videos"][..., :40, :]
    coming = [engine.encoded(one) for one in (good, broken, inputs(4))]
    for one in coming:
        next(one)
    assert engine.step() == 3
    assert engine.largest == 2
    told = [result(one) for one in coming]
    assert isinstance(told[1], ModelError)
    want = [capture(loaded(FAMILY).model, inputs(count), family_of(FAMILY, "")) for count in (2, 4)]
    for got, expected in zip(told[::2], want, strict=True):
        assert isinstance(got, VisualPrompt)
        torch.testing.assert_close(got.embeds, expected.embeds, rtol=1e-5, atol=1e-5)


def result(work: Generator[Any, None, tuple[VisualPrompt, float]]) -> VisualPrompt | Exception:
    try:
        next(work)
    except StopIteration as end:
        whole: VisualPrompt = end.value[0]
        return whole
    except ModelError as error:
        return error
    raise AssertionError("it waits still")


def call(*args: Any, **kwargs: Any) -> TowerCall:
    return TowerCall(args, kwargs)


def test_calls_that_differ_in_anything_but_rows_are_not_joined() -> None:
    pixels, grid = torch.zeros(6, 3, 8, 8), torch.zeros(1, 3)
    usual = call(pixels, grid=grid, layers=[1, 2], mode="full")
    assert usual.kind == call(pixels[:2], grid=grid, layers=[1, 2], mode="full").kind
    assert usual.rows == 6
    others = [
        call(pixels[..., :4], grid=grid, layers=[1, 2], mode="full"),
        call(pixels.double(), grid=grid, layers=[1, 2], mode="full"),
        call(pixels, grid=grid, layers=[1, 3], mode="full"),
        call(pixels, grid=grid, layers=(1, 2), mode="full"),
        call(pixels, grid=grid, layers=[True, 2], mode="full"),
        call(pixels, grid=None, layers=[1, 2], mode="full"),
        call(pixels, grid=grid, layers=[1, 2]),
        call(pixels, grid, layers=[1, 2], mode="full"),
    ]
    assert all(one.kind != usual.kind for one in others)
    for unknown in (torch.tensor(1.0), [pixels], object()):
        assert call(pixels, more=unknown).kind is None
