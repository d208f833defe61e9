"""FLOPs and bytes by formula against what torch counts and stores, and the benchmark of the device."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import tiny_families
import torch
from tiny_model import captured, everything, loaded, some
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.metrics import LanguageModel
from sharpv_cli.models.capture import Prompt, capture
from sharpv_cli.models.dimensions import VisionTower, language_model, vision_tower
from sharpv_cli.pipeline import rates
from sharpv_cli.types import DeviceRates

# Qwen2-7B, the language model of LLaVA-OneVision-7B, in bfloat16.
QWEN2_7B = LanguageModel(
    layers=28,
    hidden=3584,
    intermediate=18944,
    heads=28,
    kv_heads=4,
    head_dim=128,
    vocabulary=152064,
    itemsize=2,
)


def prompts() -> list[Prompt]:
    whole = captured("eager")
    return [whole.prune(everything(whole)), whole.prune(some(whole))]


def counted(counter: FlopCounterMode) -> int:
    """All but the angles of the rotary embedding, which transformers computes as a product in some versions."""
    by_module = counter.get_flop_counts()
    angles = [sum(ops.values()) for name, ops in by_module.items() if name.endswith("rotary_emb")]
    return counter.get_total_flops() - sum(angles)


@pytest.mark.parametrize("m", [None, 0.2, 1.0], ids=["no-memory", "some-layers", "all-layers"])
@pytest.mark.parametrize("which", [0, 1], ids=["dense", "pruned"])
def test_flops_are_those_that_torch_counts(which: int, m: float | None) -> None:
    model, prompt = loaded("eager").model, prompts()[which]
    shape = language_model(model.config, model.dtype.itemsize)
    with FlopCounterMode(display=False) as counter:
        start = ReferenceEngine(model).prefill(prompt, m=m)
    assert counted(counter) == shape.prefill_flops(len(prompt), causal=False)

    lengths = start.cache.lengths
    with FlopCounterMode(display=False) as counter:
        list(ReferenceEngine(model).decode(start, max_new_tokens=2, stop_ids=()))
    assert counted(counter) == shape.decode_flops(lengths)
    assert start.cache.nbytes == shape.decode_kv_bytes(lengths)


def test_the_lengths_of_the_layers_differ_in_that_test() -> None:
    start = ReferenceEngine(loaded("eager").model).prefill(prompts()[0], m=0.2)
    assert len(set(start.cache.lengths)) == 2


def test_weights_that_a_step_reads_are_the_matrices_of_the_checkpoint() -> None:
    model = loaded().model
    matrices = [
        weight
        for name, weight in [
            *model.get_decoder().layers.named_parameters(),
            *model.lm_head.named_parameters(),
        ]
        if weight.dim() == 2
    ]
    assert language_model(model.config, model.dtype.itemsize).weight_bytes == sum(
        weight.nbytes for weight in matrices
    )


def test_a_causal_prefill_counts_what_each_token_sees() -> None:
    shape = language_model(loaded().model.config, 4)
    per_pair = 4 * shape.layers * shape.heads * shape.head_dim
    skipped = shape.prefill_flops(100, causal=False) - shape.prefill_flops(100)
    assert skipped == per_pair * (100 * 100 - sum(range(1, 101)))


@pytest.mark.parametrize("family", tiny_families.RECIPES)
def test_flops_of_every_vision_tower_are_those_that_torch_counts(family: str) -> None:
    model = tiny_families.loaded(family, "eager")
    given = tiny_families.inputs(model)
    # Not every tower can be had eager: this way scores are products that the counter sees.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        whole = capture(model.model, given, model.family)
    slots, tokens = whole.slots.shape
    shape = vision_tower(model.model.config, model.processor.video_processor, tokens)
    assert shape.flops(slots, whole.grid) == tower_flops(counter)


def tower_flops(counter: FlopCounterMode) -> int:
    """Of the patch embedding and of all layers, by the names of their modules."""
    part = re.compile(r"\.(patch_embed(ding|dings)?|(encoder\.layers?|blocks)\.\d+)$")
    by_module = counter.get_flop_counts()
    return sum(sum(ops.values()) for name, ops in by_module.items() if part.search(name))


def test_windows_of_a_tower_by_hand() -> None:
    """Five rows and three columns of tokens, each of 2 x 2 patches, in windows of two tokens a side."""
    tower = VisionTower(
        hidden=8, intermediate=16, heads=2, gated=True, patches=60, pixels=12, held_states=0, projects_first=False,
        rotates=True, copies_pixels=False, layers=3, cls=False, merge=2, windowed_layers=2, window=2,
    )  # fmt: skip
    windows = [rows * columns * 4 for rows in (2, 2, 1) for columns in (2, 1)]
    assert sum(windows) == 60
    pairs = 60**2 + 2 * sum(size**2 for size in windows)
    products = 60 * (12 * 8 + 3 * (4 * 8 * 8 + 3 * 8 * 16))
    assert tower.flops(7, (5, 3)) == 7 * (2 * products + 4 * 8 * pairs)


def test_a_large_model_by_hand() -> None:
    """32 frames of 196 tokens, a newline and 60 of text on LLaVA-OneVision-7B: 90.7 TFLOPs and 346 MiB of KV."""
    tokens = 32 * 196 + 1 + 60
    assert QWEN2_7B.prefill_flops(tokens) / 1e12 == pytest.approx(90.7, abs=0.05)
    assert QWEN2_7B.decode_kv_bytes([tokens - 1] * 28) / 2**20 == pytest.approx(346, abs=0.5)
    assert QWEN2_7B.weight_bytes / 2**20 == pytest.approx(13486, abs=0.5)


def test_grouped_queries_shrink_the_cache_and_not_the_attention() -> None:
    every = replace(QWEN2_7B, kv_heads=28)
    lengths = [1000] * 28
    assert every.decode_kv_bytes(lengths) == 7 * QWEN2_7B.decode_kv_bytes(lengths)
    projections = 2 * 28 * 3584 * 128 * 2 * (28 - 4)
    assert every.decode_flops(lengths) - QWEN2_7B.decode_flops(lengths) == projections


def test_an_mlp_without_a_gate_has_two_matrices() -> None:
    plain = replace(QWEN2_7B, gated=False)
    assert QWEN2_7B.layer_weights - plain.layer_weights == 3584 * 18944


def test_rates_of_this_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_BUDGET_SEC", 0.02)
    got = rates.measure_rates(torch.device("cpu"), torch.float32)
    assert got is not None
    assert got.dtype == "float32"
    assert 1e8 < got.copy_bytes_per_sec < 1e13
    assert 1e8 < got.matmul_flops_per_sec < 1e14


def test_rates_count_bytes_both_ways_and_two_flops_a_multiply_add(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stop-watch that says half a second, whatever it measures."""
    monkeypatch.setattr(rates, "_seconds", lambda work, device: 0.5)
    got = rates.measure_rates(torch.device("cpu"), torch.float32)
    assert got == DeviceRates(2 * 2 * 128 * 2**20, 2 * 2 * 256**3, "float32")


def test_a_device_that_is_full_has_no_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> float:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(rates, "_copy_rate", full)
    assert rates.measure_rates(torch.device("cpu"), torch.float32) is None


def test_the_better_rate_of_two_is_kept_each_for_itself() -> None:
    one, other = DeviceRates(1.0, 20.0, "float32"), DeviceRates(2.0, 10.0, "float32")
    assert rates.best_rates(one, other) == DeviceRates(2.0, 20.0, "float32")
    assert rates.best_rates(None, one) == rates.best_rates(one, None) == one
