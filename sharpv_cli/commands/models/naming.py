"""The settings that a profile's or a model's name means, and what is known of the model."""

from __future__ import annotations

import os
from pathlib import Path

from sharpv_cli.errors import ModelError
from sharpv_cli.models import checkpoint
from sharpv_cli.models.facts import read_facts
from sharpv_cli.models.inspecting import inspect
from sharpv_cli.models.known import published_bytes, shipped
from sharpv_cli.models.on_disk import is_local, local_size
from sharpv_cli.settings import (
    BUILTIN_MODEL,
    DEFAULT_PROFILE,
    ModelSettings,
    Resolved,
    profile_paths,
    resolve,
)
from sharpv_cli.units import disk_size, parameter_count


def resolved(name: str, revision: str | None = None) -> Resolved:
    """The settings that go by a profile's name or path, or by a model's folder or hub id."""
    flags = {"revision": revision}
    is_profile = name in profile_paths(os.environ) or name.endswith((".yaml", ".yml"))
    if name == BUILTIN_MODEL and not is_profile:
        return resolve(flags, os.environ, profile=DEFAULT_PROFILE)
    if is_profile or not ("/" in name or (is_local(name) and Path(name).is_dir())):
        return resolve(flags, os.environ, profile=name)
    return resolve(flags | {"model": name}, os.environ)


def facts(model: ModelSettings) -> list[str]:
    """Lines about a model on this machine; what is wrong with it is one of them."""
    try:
        folder = checkpoint.locate(model)
        if folder is None:
            part = local_size(model.id)
            here = f"partly downloaded, {disk_size(part)}" if part else "not on this machine"
            return [here, *_published(model)]
        read = read_facts(inspect(folder, model))
    except ModelError as error:
        return [f"cannot be loaded: {error}"]
    context = "transformers' default" if read.context is None else str(read.context)
    quantized = f", quantised ({read.quantization})" if read.quantization else ""
    return [
        f"folder: {folder}",
        f"family: {read.family}, {read.layers} layers, context: {context}",
        f"weights: {disk_size(read.weights_bytes)}, {', '.join(read.dtypes)}{quantized}",
        f"attention here: {', '.join(read.attention)}",
    ]


def _published(model: ModelSettings) -> list[str]:
    """What comes with sharpv about a model that is not here."""
    if (facts := shipped().get(model.id)) is None:
        return []
    size = disk_size(published_bytes(model.id) or 0)
    return [
        f"family: {facts['config']['model_type']}",
        f"weights: {parameter_count(facts['parameters'])} parameters, about {size}, {facts['dtype']}",
    ]
