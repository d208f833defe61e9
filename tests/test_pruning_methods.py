"""The methods of `sharpv eval` against plain loops in NumPy, and what is true of all of them."""

from __future__ import annotations

import importlib
import math
import re
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sharpv_cli.errors import UsageError
from sharpv_cli.pruning.methods import METHODS
from sharpv_cli.pruning.plan import Budget, Drawn, KeepPlan, Method

Array = NDArray[np.float64]
every = pytest.mark.parametrize("name", METHODS)


def clip(frames: int = 7, tokens: int = 12, width: int = 16, seed: int = 0) -> torch.Tensor:
    """Features [T, f, d] of a still scene in which some tokens change from frame to frame, by different amounts."""
    generator = torch.Generator().manual_seed(seed)
    still = torch.randn(1, tokens, width, generator=generator)
    change = torch.randn(frames, tokens, width, generator=generator)
    return still + change * torch.rand(frames, tokens, 1, generator=generator)


def even(frames: int, tokens: int, share: float) -> Budget:
    """A budget of about `share`, which differs from frame to frame."""
    counts = [max(1, min(tokens, round(share * tokens) + (t % 3 - 1))) for t in range(frames)]
    return Budget(torch.tensor(counts))


def plan(name: str, features: torch.Tensor, budget: Budget, seed: int = 0) -> KeepPlan:
    method = METHODS[name]()
    return (replace(method, seed=seed) if isinstance(method, Drawn) else method).plan(features, budget)


def at_least(name: str, frames: int, tokens: int) -> int:
    """What a method cannot go below, as its docstring says."""
    return {"evs": tokens, "vidcom2": frames, "dycoke": math.ceil(frames / 4) * tokens}.get(name, 0)


SHAPES = {
    "some": (7, 12, 0.4),
    "few": (9, 12, 0.09),
    "one frame": (1, 12, 0.5),
    "one token a frame": (6, 1, 1.0),
    "one token": (1, 1, 1.0),
    "five frames": (5, 8, 0.8),
}


@every
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_plan_keeps_its_budget_or_its_documented_minimum(name: str, shape: str, dtype: torch.dtype) -> None:
    frames, tokens, share = SHAPES[shape]
    features, budget = clip(frames, tokens).to(dtype), even(frames, tokens, share)

    got = plan(name, features, budget)

    assert got.keep.shape == (frames, tokens)
    assert got.keep.device == features.device
    assert int(got.keep.sum()) == max(budget.tokens, at_least(name, frames, tokens))
    if got.features is not None:
        assert got.features.shape == features.shape
        assert got.features.dtype == dtype


@every
def test_a_budget_of_everything_keeps_everything(name: str) -> None:
    assert plan(name, clip(), Budget(torch.full((7,), 12))).keep.all()


@every
def test_features_without_content_are_pruned_all_the_same(name: str) -> None:
    budget = even(7, 12, 0.4)

    got = plan(name, torch.zeros(7, 12, 16), budget)

    assert int(got.keep.sum()) == max(budget.tokens, at_least(name, 7, 12))


@every
def test_the_same_question_gets_the_same_plan_and_features_stay_as_they_are(name: str) -> None:
    features, budget = clip(), even(7, 12, 0.4)
    before, state = features.clone(), torch.get_rng_state()

    first, again = plan(name, features, budget), plan(name, features, budget)

    assert torch.equal(first.keep, again.keep)
    assert torch.equal(features, before)
    assert torch.equal(torch.get_rng_state(), state), "the question's seed is the only source of chance"


@every
def test_only_random_methods_draw(name: str) -> None:
    plans = {tuple(plan(name, clip(), even(7, 12, 0.4), seed).keep.flatten().tolist()) for seed in range(5)}

    assert (len(plans) > 1) == name.startswith("random")


@pytest.mark.parametrize("name", ["random-dagger", "random-star", "stride"])
def test_these_methods_never_look_at_the_features(name: str) -> None:
    budget = even(7, 12, 0.4)

    assert torch.equal(plan(name, clip(seed=1), budget).keep, plan(name, clip(seed=2), budget).keep)


@pytest.mark.parametrize("name", ["evs", "dycoke"])
def test_a_still_scene_keeps_the_lower_indices(name: str) -> None:
    still = clip(frames=1).expand(4, 12, 16)

    kept = plan(name, still, Budget(torch.tensor([12, 2, 2, 2]))).keep

    assert kept[0].all()
    want = {"evs": [[*range(6)], [], []], "dycoke": [[0, 1]] * 3}[name]
    assert [frame.nonzero().flatten().tolist() for frame in kept[1:]] == want


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_cuda_device_keeps_what_the_cpu_keeps(name: str, dtype: torch.dtype) -> None:
    features, budget = clip(16, 49, 64).to(dtype), even(16, 49, 0.3)

    got = plan(name, features.cuda(), budget)

    want = plan(name, features, budget).keep
    assert got.keep.is_cuda
    assert got.keep.sum() == want.sum()
    # Sums round otherwise there, so tokens at the edge of the budget may change places: 1 % of them at most.
    assert (got.keep.cpu() != want).sum() <= 0.01 * want.numel()


def test_random_dagger_keeps_sharpvs_counts_and_every_token_equally_often() -> None:
    budget = Budget(torch.tensor([1, 4, 8, 3]))
    counts = np.zeros((4, 8))
    for seed in range(2000):
        kept = plan("random-dagger", torch.zeros(4, 8, 2), budget, seed).keep
        assert kept.sum(-1).tolist() == [1, 4, 8, 3]
        counts += kept.numpy()

    share = np.array([1, 4, 8, 3])[:, None] / 8
    spread = np.sqrt(share * (1 - share) / 2000)
    assert (np.abs(counts / 2000 - share) <= 4 * spread).all()


def test_random_star_draws_the_ratios_as_well() -> None:
    budget = Budget(torch.full((6,), 5))
    seen, total = set(), np.zeros((6, 20))
    for seed in range(2000):
        kept = plan("random-star", torch.zeros(6, 20, 2), budget, seed).keep
        seen |= set(kept.sum(-1).tolist())
        assert int(kept.sum()) == 30
        total += kept.numpy()

    assert min(seen) == 1
    assert max(seen) >= 15
    # No frame and no place is preferred: all of them are kept a quarter of the time.
    assert np.abs(total / 2000 - 0.25).max() < 0.06
    assert np.abs(total.mean(axis=1) / 2000 - 0.25).max() < 0.02


def test_random_star_gives_each_frame_a_token_when_the_budget_has_one_for_each() -> None:
    for seed in range(50):
        assert (
            plan("random-star", torch.zeros(6, 9, 2), Budget(torch.ones(6).long()), seed)
            .keep.sum(-1)
            .tolist()
            == [1] * 6
        )
        assert (
            plan(
                "random-star", torch.zeros(6, 9, 2), Budget(torch.tensor([2, 2, 0, 0, 0, 0])), seed
            ).keep.sum()
            == 4
        )


def test_stride_steps_evenly_through_the_clip_in_raster_order() -> None:
    for tokens in range(43):
        kept = plan("stride", torch.zeros(6, 7, 2), Budget(torch.tensor([tokens, 0, 0, 0, 0, 0]))).keep
        assert kept.flatten().nonzero().flatten().tolist() == [int(i * 42 / tokens) for i in range(tokens)]


def cosine(a: Array, b: Array) -> float:
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def highest(scores: dict[tuple[int, int], float], count: int) -> set[tuple[int, int]]:
    """The `count` places of the highest scores; equal ones by their place."""
    return set(sorted(scores, key=lambda place: (-scores[place], place))[:count])


def kept_places(keep: torch.Tensor) -> set[tuple[int, int]]:
    return {(int(t), int(i)) for t, i in keep.nonzero()}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_evs_equals_a_plain_loop(share: float, seed: int) -> None:
    features, budget = clip(seed=seed), even(7, 12, share)
    X = features.double().numpy()
    scores = {(0, i): 255.0 for i in range(12)}
    for t in range(1, 7):
        for i in range(12):
            scores[t, i] = 1 - cosine(X[t, i], X[t - 1, i])

    want = highest(scores, max(12, budget.tokens))

    assert kept_places(plan("evs", features, budget).keep) == want


def vidcom2(X: Array, tokens: int) -> set[tuple[int, int]]:
    """The paper and the authors' code, one loop a sum; then cut or filled to `tokens` as vLLM does."""
    T, f, D = X.shape
    spread = [float(np.var([X[t, i, c] for t in range(T) for i in range(f)])) for c in range(D)]
    steady = sorted(range(D), key=lambda c: (spread[c], c))[: D // 2]
    unit = np.zeros((T, f, len(steady)))
    for t in range(T):
        for i in range(f):
            part = X[t, i, steady]
            unit[t, i] = part / math.sqrt(float(part @ part))
    video = sum(unit[t, i] for t in range(T) for i in range(f)) / (T * f)

    def gaussians(a: Array, b: Array) -> float:
        square = float((a - b) @ (a - b))
        return math.fsum(math.exp(-square / (2 * 2.0**k)) for k in (-3, -2, -1, 0, 1))

    to_video = [[gaussians(unit[t, i], video) for i in range(f)] for t in range(T)]
    to_frame = [[gaussians(unit[t, i], sum(unit[t]) / f) for i in range(f)] for t in range(T)]
    distinct = {(t, i): -(to_video[t][i] + to_frame[t][i]) for t in range(T) for i in range(f)}
    unique = [-sum(row) / f for row in to_video]
    weight = [math.exp((u - max(unique)) / 0.01) for u in unique]
    chosen: set[tuple[int, int]] = set()
    for t in range(T):
        share = min(1.0, tokens / (T * f) * (1 + weight[t] / sum(weight) - 1 / T))
        frame = {(t, i): distinct[t, i] for i in range(f)}
        chosen |= highest(frame, max(1, round(share * f)))
    target = max(T, tokens)
    if len(chosen) >= target:
        return highest({place: distinct[place] for place in chosen}, target)
    left = {place: score for place, score in distinct.items() if place not in chosen}
    return chosen | highest(left, target - len(chosen))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_vidcom2_equals_a_plain_loop(share: float, seed: int) -> None:
    features, budget = clip(seed=seed), even(7, 12, share)

    want = vidcom2(features.double().numpy(), budget.tokens)

    assert kept_places(plan("vidcom2", features, budget).keep) == want


def test_vidcom2_gives_a_frame_that_differs_from_the_video_more_tokens() -> None:
    features = torch.ones(8, 20, 16) + 0.05 * clip(8, 20)
    features[5] = clip(1, 20, seed=3)[0]

    kept = plan("vidcom2", features, Budget(torch.full((8,), 5))).keep.sum(-1)

    assert int(kept.argmax()) == 5
    assert kept[5] >= 9


@pytest.mark.parametrize(
    "wrong", [{"channels": 0.0}, {"channels": 1.5}, {"temperature": 0.0}, {"temperature": math.nan}]
)
def test_vidcom2_refuses_parameters_without_a_meaning(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        METHODS["vidcom2"](**wrong)


def dycoke(X: Array, tokens: int) -> set[tuple[int, int]]:
    """Windows of four frames: 1 against 0, 2 against 0, 3 against 2; the most similar of each are dropped."""
    T, f, _ = X.shape
    whole = [t for t in range(T) if t % 4 == 0]
    thinned = [t for t in range(T) if t % 4 != 0]
    kept = {(t, i) for t in whole for i in range(f)}
    left = max(0, tokens - len(kept))
    for n, t in enumerate(thinned):
        other = {1: t - 1, 2: t - 2, 3: t - 1}[t % 4]
        count = left // len(thinned) + (1 if n < left % len(thinned) else 0)
        kept |= highest({(t, i): -cosine(X[t, i], X[other, i]) for i in range(f)}, count)
    return kept


@pytest.mark.parametrize("frames", [2, 3, 4, 7, 8, 13])
@pytest.mark.parametrize("share", [0.2, 0.475, 0.8])
def test_dycoke_equals_a_plain_loop(share: float, frames: int) -> None:
    features, budget = clip(frames, seed=frames), even(frames, 12, share)

    got = plan("dycoke", features, budget)

    assert got.features is None  # it drops, it does not average
    assert kept_places(got.keep) == dycoke(features.double().numpy(), budget.tokens)


def test_dycokes_budget_of_the_papers_ratio_keeps_the_papers_share_of_every_frame() -> None:
    # K = 0.7: 1/4 + 3/4 * 0.3 = 47.5 %.
    kept = plan("dycoke", clip(8, 20), Budget(torch.tensor([76, 0, 0, 0, 0, 0, 0, 0]))).keep

    assert kept.sum(-1).tolist() == [20, 6, 6, 6] * 2


def test_the_example_of_the_recipe_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Path(__file__).resolve().parent.parent / "docs" / "adding-a-method.md"
    example = re.search(r" *```python\n(.*?)```", recipe.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert example is not None
    (tmp_path / "loudest.py").write_text(textwrap.dedent(example.group(1)), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    features = torch.arange(1.0, 25.0).view(2, 3, 4).flip(0)

    loudest: Method = importlib.import_module("loudest").Loudest()
    got = loudest.plan(features, Budget(torch.tensor([1, 1])))

    assert got.keep.tolist() == [[False, True, True], [False, False, False]]
