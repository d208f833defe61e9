"""Visual SharpV against the NumPy reference, on ordinary and on awkward features."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch

from sharpv_cli.pruning.visual import (
    Scores,
    dissimilarity,
    keep_counts,
    score,
    select_adaptive,
    select_manual,
)


def clip(name: str) -> torch.Tensor:
    """Features [T, f, d] in float32 by name."""
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(5, 9, 16, generator=generator)
    return {
        "random": noise,
        "video-like": noise[:1] + 0.3 * noise,
        "constant": torch.full((4, 9, 16), 0.37),
        "zeros": torch.zeros(3, 4, 8),
        "some zero tokens": noise * (torch.arange(9) % 3 > 0)[None, :, None],
        "duplicate frames": noise[:1].expand(5, 9, 16),
        "single frame": noise[:1],
        "one token": noise[:, :1],
        "huge": noise * 1e37,
        "tiny": noise * 1e-37,
        "mixed magnitudes": noise * torch.logspace(-30, 30, 5)[:, None, None],
        "opposite": torch.cat([noise[:1], -noise[:1]]),
    }[name]


NAMES = [
    "random",
    "video-like",
    "constant",
    "zeros",
    "some zero tokens",
    "duplicate frames",
    "single frame",
    "one token",
    "huge",
    "tiny",
    "mixed magnitudes",
    "opposite",
]


@pytest.mark.parametrize("w", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("name", NAMES)
def test_scores_equal_the_reference(name: str, w: float) -> None:
    features = clip(name)
    got, want = score(features, w), reference.scores(features.numpy(), w)

    assert got.importance.dtype == got.ratio.dtype == torch.float32
    for ours, key in [(got.spatial, "S"), (got.temporal, "T"), (got.importance, "I"), (got.ratio, "r")]:
        np.testing.assert_allclose(ours.numpy(), want[key], rtol=2e-5, atol=2e-6, err_msg=key)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_features_are_scored_in_float32(dtype: torch.dtype) -> None:
    features = clip("video-like").to(dtype)

    got, want = score(features), reference.scores(features.float().numpy())

    assert got.importance.dtype == torch.float32
    np.testing.assert_allclose(got.importance.numpy(), want["I"], rtol=1e-5)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("name", NAMES)
def test_adaptive_selection_equals_the_reference(name: str, scale: float) -> None:
    scores = score(clip(name))

    keep = select_adaptive(scores, scale=scale, min_tokens=2)

    want = reference.adaptive(
        scores.importance.double().numpy(), scores.ratio.double().numpy(), scale, min_tokens=2
    )
    np.testing.assert_array_equal(keep.numpy(), want)


def test_the_whole_path_keeps_the_tokens_of_a_float64_reference() -> None:
    for seed in range(20):
        features = torch.randn(6, 25, 32, generator=torch.Generator().manual_seed(seed))
        want = reference.scores(features.numpy())
        np.testing.assert_array_equal(
            select_adaptive(score(features)).numpy(), reference.adaptive(want["I"], want["r"])
        )


@pytest.mark.parametrize(("k", "min_tokens"), [(1.6, 1), (0.0, 1), (2.0, 3), (4.1, 1), (4.1, 2), (1.9, 99)])
@pytest.mark.parametrize("name", ["random", "video-like", "constant", "single frame"])
def test_manual_selection_equals_the_reference(name: str, k: float, min_tokens: int) -> None:
    scores = score(clip(name))

    keep = select_manual(scores, k=k, min_tokens=min_tokens)

    np.testing.assert_array_equal(
        keep.numpy(), reference.manual(scores.importance.double().numpy(), k, min_tokens)
    )


def test_a_manual_threshold_that_keeps_nothing_leaves_the_best_tokens() -> None:
    scores = score(clip("random"))

    keep = select_manual(scores, k=5.0, min_tokens=1)  # I <= 4 always

    assert keep.sum(-1).tolist() == [1] * 5
    np.testing.assert_array_equal(keep.int().argmax(-1).numpy(), scores.importance.argmax(-1).numpy())


def test_ties_go_to_the_lower_index() -> None:
    importance = torch.tensor([[0.5, 0.9, 0.5, 0.9, 0.5, 0.1]])
    scores = Scores(importance, importance, importance, ratio=torch.tensor([0.5]))

    assert select_adaptive(scores).nonzero()[:, 1].tolist() == [0, 1, 3]
    assert select_manual(scores, k=1.0, min_tokens=4).nonzero()[:, 1].tolist() == [0, 1, 2, 3]


def test_many_equal_tokens_keep_the_first_ones() -> None:
    scores = score(torch.ones(2, 500, 4))

    assert select_adaptive(scores, min_tokens=3).nonzero().tolist() == [
        [t, i] for t in (0, 1) for i in range(3)
    ]


def test_a_duplicate_frame_keeps_min_tokens_only() -> None:
    keep = select_adaptive(score(clip("duplicate frames")), min_tokens=1)

    assert keep.sum(-1).tolist()[1:] == [1, 1, 1, 1]


def test_equal_vectors_differ_by_exactly_nothing_and_opposite_ones_by_two() -> None:
    vectors = torch.randn(1000, 33, generator=torch.Generator().manual_seed(1))

    assert dissimilarity(vectors, vectors.clone()).eq(0).all()
    torch.testing.assert_close(dissimilarity(vectors, -3 * vectors), torch.full((1000,), 2.0))


def test_counts_round_up_but_not_past_a_rounding_error() -> None:
    ratio = torch.tensor([0.0, 0.1 + 1e-8, 0.1001, 0.25, 1.0, 1.0])

    counts = keep_counts(ratio, 10, scale=1.0, min_tokens=1)

    assert counts.dtype == torch.int64
    assert counts.tolist() == [1, 1, 2, 3, 10, 10]
    assert keep_counts(ratio, 10, scale=3.0, min_tokens=2).tolist() == [2, 3, 4, 8, 10, 10]
    assert keep_counts(ratio, 2, scale=1.0, min_tokens=5).tolist() == [2] * 6


def test_a_frame_that_changes_completely_keeps_everything() -> None:
    scores = score(clip("opposite"))

    assert scores.ratio[1].item() == pytest.approx(1.0)
    assert select_adaptive(scores)[1].all()


def test_batches_equal_single_calls() -> None:
    features = torch.randn(2, 3, 4, 6, 8, generator=torch.Generator().manual_seed(3))
    scores = score(features, 0.7)
    adaptive = select_adaptive(scores, scale=0.8, min_tokens=1)
    manual = select_manual(scores, k=1.5, min_tokens=2)

    assert adaptive.shape == (2, 3, 4, 6)
    for a in range(2):
        for b in range(3):
            one = score(features[a, b], 0.7)
            torch.testing.assert_close(one.importance, scores.importance[a, b])
            torch.testing.assert_close(one.ratio, scores.ratio[a, b])
            assert torch.equal(select_adaptive(one, scale=0.8, min_tokens=1), adaptive[a, b])
            assert torch.equal(select_manual(one, k=1.5, min_tokens=2), manual[a, b])
