"""The training command runs in pieces: each leaves a whole checkpoint, from whose weights alone the next goes on."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration

from sharpv_cli.training import train
from sharpv_cli.training.regimes import Regime
from sharpv_cli.training.trainer import FIRST_DISCARDED, Trainer


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return model.state_dict()


QUICK = ["--minutes", "0.001", "--clip-frames", "16", "--device", "cpu"]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a piece left that began with no weights."""
    folder = tmp_path_factory.mktemp("first")
    train.main([str(folder), *QUICK, "--seed", "a"])
    return folder


def test_a_piece_and_the_next(first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train.main([str(tmp_path / "two"), *QUICK, "--seed", "b", "--resume", str(first)])
    (figures,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert figures["seed"] == "b" and figures["steps"] >= 1
    one, two = _weights(first), _weights(tmp_path / "two")
    moved = [name for name in one if not torch.equal(one[name], two[name])]
    assert moved, "the second piece trained"
    # One warm-up step moves a weight by about 1e-5: a piece that started anew would be far away.
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-2
    processor = AutoProcessor.from_pretrained(tmp_path / "two")
    assert processor.tokenizer.decode(processor.tokenizer.encode("a red ring grows.")) == "a red ring grows."


def test_a_piece_for_other_words_leaves_the_vision_tower(first: Path, tmp_path: Path) -> None:
    more = ["--resume", str(first), "--language-only", "--other-words", "0.5", "--peak", "0.1"]
    train.main([str(tmp_path / "two"), *QUICK, "--seed", "c", *more])
    one, two = _weights(first), _weights(tmp_path / "two")
    moved = {name for name in one if not torch.equal(one[name], two[name])}
    assert moved
    assert not any("vision" in name or "projector" in name for name in moved)


def test_the_rate_warms_up_holds_and_cools_down() -> None:
    assert train.learning_rate(0.0, 0, 0.5) < 0.01
    assert train.learning_rate(0.4, 1000, 0.5) == 1.0
    assert train.learning_rate(0.75, 1000, 0.5) == pytest.approx(0.5)
    assert train.learning_rate(0.999, 1000, 0.5) == pytest.approx(0.02)
    assert train.learning_rate(0.999, 1000, 0.0) == 1.0


def test_discarded_layers_are_deep_ones_and_not_in_every_step() -> None:
    trainer = Trainer.__new__(Trainer)  # only the draw is tested: no model, no optimizer
    trainer.rng, trainer.depth = random.Random(0), 10
    regime = Regime(8, 64, 1.0, discards=0.6)
    drawn = [trainer._discarded(regime) for _ in range(600)]
    assert all(layer >= FIRST_DISCARDED for layers in drawn for layer in layers)
    assert 0.5 < sum(bool(layers) for layers in drawn) / len(drawn) < 0.65
