"""A fixed sample of checkpoints with one wrong value; tests/helpers/fuzz_checkpoint.py tries them all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import tiny_families
from fuzz_checkpoint import LEFT_OUT, WRONG, Case, cases, fault, write_clip

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded by the kernel")

CONFIG, PROCESSOR, TOKENIZER = "config.json", "processor_config.json", "tokenizer_config.json"
DEEP = next(value for value in WRONG if isinstance(value, list) and value and isinstance(value[0], list))
ONEVISION = [
    Case(CONFIG, ("model_type",), {"a": 1}),
    Case(CONFIG, ("text_config",), LEFT_OUT),
    Case(CONFIG, ("text_config", "num_hidden_layers"), 10**12),
    Case(CONFIG, ("text_config", "num_hidden_layers"), 1),
    Case(CONFIG, ("text_config", "hidden_size"), 2**31),
    Case(CONFIG, ("text_config", "vocab_size"), 10**12),
    Case(CONFIG, ("vision_config", "num_hidden_layers"), 10**30),
    Case(CONFIG, ("vision_config", "image_size"), -1),
    Case(CONFIG, ("vision_feature_layer",), 7),
    Case(PROCESSOR, ("num_image_tokens",), LEFT_OUT),
    Case(PROCESSOR, ("video_processor", "size", "height"), 10**12),
    Case(PROCESSOR, ("video_processor", "image_mean", 0), DEEP),
    Case(PROCESSOR, ("video_processor", "resample"), 7),
    Case(TOKENIZER, ("model_max_length",), ""),
]
QWEN = [
    Case(CONFIG, ("text_config", "rope_parameters", "mrope_section"), [1, 2, 3]),
    Case(CONFIG, ("vision_config", "model_type"), DEEP),
    Case(CONFIG, ("vision_config", "temporal_patch_size"), [1, 2, 3]),
    Case(CONFIG, ("vision_config", "intermediate_size"), [1, 2, 3]),
    Case(PROCESSOR, ("video_processor", "merge_size"), 1e308),
    Case(PROCESSOR, ("video_processor", "size", "shortest_edge"), []),
    Case(PROCESSOR, ("video_processor", "size", "shortest_edge"), float("inf")),
    Case(PROCESSOR, ("video_processor", "temporal_patch_size"), float("nan")),
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip"))


@pytest.mark.parametrize("case", ONEVISION, ids=lambda case: case.name)
def test_a_wrong_value_is_refused_in_words(case: Case, clip: Path) -> None:
    assert fault(tiny_families.folder("llava_onevision"), case, clip) is None


@pytest.mark.parametrize("case", QWEN, ids=lambda case: case.name)
def test_a_wrong_value_of_another_family(case: Case, clip: Path) -> None:
    assert fault(tiny_families.folder("qwen2_5_vl"), case, clip) is None


def test_the_cases_are_those_of_every_key() -> None:
    names = {case.name for case in cases(tiny_families.folder("llava_onevision"))}

    assert "config.json: text_config.hidden_size = left out" in names
    assert "config.json: text_config.hidden_size = 1000000000000" in names
    assert len(names) > 1000
