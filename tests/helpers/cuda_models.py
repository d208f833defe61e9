"""Tiny models and their prompts on a CUDA device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sharpv_cli.models.capture import Prompt
from sharpv_cli.models.families import FAMILIES
from sharpv_cli.models.loading import LoadedModel, load
from sharpv_cli.settings import ModelSettings


def where_installed(name: str) -> Any:
    missing = [package for package in FAMILIES[name].needs if find_spec(package) is None]
    return pytest.param(name, marks=pytest.mark.skipif(bool(missing), reason=f"needs {missing}"))


@cache
def on_cuda(place: Path, dtype: str, attention: str = "sdpa") -> LoadedModel:
    settings = {"id": str(place), "dtype": dtype, "attention": attention}
    return load(ModelSettings.model_validate(settings), "cuda")


def to_cuda(prompt: Prompt) -> Prompt:
    """The same numbers on the device: captured there, they would differ in the last bits."""
    return Prompt(**{part.name: _moved(getattr(prompt, part.name)) for part in fields(prompt)})


def _moved(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _moved(item) for name, item in value.items()}
    return [item.cuda() for item in value] if isinstance(value, list) else value.cuda()
