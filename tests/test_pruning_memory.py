"""Memory SharpV's measure against NumPy."""

from __future__ import annotations

import pytest
import reference
import torch

from sharpv_cli.pruning.memory import similarity


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_similarity_is_the_mean_cosine(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(40, 24, generator=generator).to(dtype)
    hidden = (embeddings.float() * 0.3 + torch.randn(40, 24, generator=generator)).to(dtype)

    got = similarity(hidden, embeddings)

    assert got.dtype == torch.float32
    assert got.shape == ()
    assert got.item() == pytest.approx(
        reference.similarity(hidden.float().numpy(), embeddings.float().numpy()), abs=1e-6
    )


def test_no_visual_token_means_no_decision() -> None:
    empty = torch.empty(0, 8)

    assert not similarity(empty, empty) < 1.0


def test_zero_vectors_give_a_number() -> None:
    assert similarity(torch.zeros(3, 8), torch.ones(3, 8)).item() == 0.0
