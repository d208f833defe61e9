"""The usable context: transformers leaves some lengths as they were before rope was stretched, and others not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_model import folder
from transformers import LlamaConfig

from sharpv_cli.models.context import usable_context
from sharpv_cli.models.facts import read_facts
from sharpv_cli.models.inspecting import inspect
from sharpv_cli.models.known import known
from sharpv_cli.models.loading import load
from sharpv_cli.settings import ModelSettings


def config(rope: dict[str, Any] | None, length: int = 4096) -> LlamaConfig:
    return LlamaConfig(
        max_position_embeddings=length, rope_parameters=rope and {"rope_theta": 10000.0} | rope
    )


@pytest.mark.parametrize(
    ("rope", "length", "usable"),
    [
        (None, 4096, 4096),
        ({"rope_type": "default"}, 4096, 4096),
        ({"rope_type": "linear", "factor": 2.5}, 4096, 10240),  # LLaVA-NeXT-Video 7B
        ({"rope_type": "dynamic", "factor": 2.0}, 32768, 32768),  # InternVL3 8B
        ({"rope_type": "yarn", "factor": 4.0}, 32768, 131072),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 131072, 131072),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 32768, 131072),
        (
            {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
            131072,
            131072,
        ),
    ],
)
def test_the_usable_context(rope: dict[str, Any] | None, length: int, usable: int) -> None:
    assert usable_context(config(rope, length)) == usable


def test_rope_that_differs_by_layer_leaves_the_length_as_it_is() -> None:
    """As Gemma's, whose length is that of the stretched layers."""
    one = config(None)
    one.rope_parameters = {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}}
    assert usable_context(one) == 4096


def test_a_config_that_does_not_say() -> None:
    assert usable_context(object()) is None


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 1e4}},
        {"rope_scaling": {"type": "linear", "factor": 2.5}, "rope_theta": 1e4},  # as before transformers 5
    ],
)
def test_all_that_tell_the_context_say_the_same(tmp_path: Path, rope: dict[str, Any]) -> None:
    model = tmp_path / "model"
    shutil.copytree(folder(), model)
    values = json.loads((model / "config.json").read_text())
    del values["text_config"]["rope_parameters"]
    values["text_config"] |= rope
    (model / "config.json").write_text(json.dumps(values))
    settings = ModelSettings.model_validate({"id": str(model)})

    length = values["text_config"]["max_position_embeddings"]

    told = (
        load(settings, "cpu").context,
        known(settings).context,
        read_facts(inspect(model, settings)).context,
    )
    assert told == (int(2.5 * length),) * 3
