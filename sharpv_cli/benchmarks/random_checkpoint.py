"""A checkpoint of a published model's full size with random weights: for times, memory and tests without a hub.

    python -m sharpv_cli.benchmarks.random_checkpoint llava-ov-7b /tmp/llava-ov-7b
    sharpv ask clip.mp4 "what happens?" -p llava-ov-7b --model /tmp/llava-ov-7b

Shapes, vocabulary and the processor's limits are those of the shipped facts (assets/configs); its answers are
made-up words. Cost does not depend on the weights' values, except where they decide how much is pruned.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.utils import logging

from sharpv_cli.benchmarks.random_processor import build_processor
from sharpv_cli.errors import ResourceError, SharpvError, UsageError
from sharpv_cli.models.attention import choose_attention
from sharpv_cli.models.families import family_of
from sharpv_cli.models.known import known, shipped
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.models.parts import blank_model, read_config
from sharpv_cli.settings import ModelSettings, Settings, resolve
from sharpv_cli.types import ModelInfo

# Standard deviation of a matrix times the root of its inputs: with 1 it keeps the scale of what it is given.
# Decoder layers then add so much to the residual stream that hidden states leave their embeddings with depth, as
# the paper reports it: at M = 0.2 a quarter to nine tenths of a model's layers discard. Layers of the vision tower
# add little, so that its output is about as large as the embeddings of text, whatever its depth.
_GAIN, _TOWER_LAYER_GAIN = 1.3, 0.5
_LAYER = re.compile(r"\.(layers?|blocks)\.\d+\.")

Changes = Mapping[str, Mapping[str, Any]]


def write_random_checkpoint(
    profile: str, folder: Path, *, seed: int = 0, changes: Changes | None = None
) -> int:
    """Write config, weights (bfloat16), tokenizer and processor of `profile`'s model, and count its parameters.

    `changes` are values of parts of the config, such as {"text_config": {"num_hidden_layers": 2}}. The weights
    are drawn on the GPU where there is one; GPU and CPU draw different numbers from one seed. Raises UsageError:
    no such profile, one whose facts are not shipped, and a folder that is not empty or cannot be written.
    """
    model_id = _model_of(profile)
    _require_empty(folder)
    model, processor = _made(model_id, changes or {}, seed)
    try:
        model.save_pretrained(folder, max_shard_size="4GB")
        processor.save_pretrained(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error}", hint="choose another folder") from error
    return sum(parameter.numel() for parameter in model.parameters())


def random_model(profile: str, settings: Settings, *, seed: int = 0) -> LoadedModel:
    """The same model in memory, ready to answer on the GPU or, without one, the CPU; nothing is written."""
    model_id = _model_of(profile)
    model, processor = _made(model_id, {}, seed)
    model.eval()
    attention = choose_attention(settings.model.attention, model.device, model.dtype)
    model.set_attn_implementation(attention.implementation)
    info = ModelInfo(
        id=f"{model_id} (random weights)",
        revision=None,
        family=model.config.model_type,
        dtype="bfloat16",
        device=str(model.device),
        attention=attention.name,
        attention_reason=attention.reason,
    )
    size = sum(parameter.nbytes for parameter in model.parameters())
    return LoadedModel(model, processor, family_of(model.config.model_type, model_id), info, size)


def _made(model_id: str, changes: Changes, seed: int) -> tuple[Any, Any]:
    """The model and its processor."""
    config = _changed(known(ModelSettings(id=model_id)).config, changes)
    processor = build_processor(config, shipped()[model_id]["video_processor"])
    model = _draw(config, seed)
    tokenizer = processor.tokenizer
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    return model, processor


def _model_of(profile: str) -> str:
    model_id = resolve({}, {}, profile=profile).settings.model.id
    if model_id not in shipped():
        raise UsageError(
            f"{profile}: no facts about its model ({model_id}) are shipped",
            hint=f"they are of {', '.join(shipped())}",
        )
    return model_id


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already", hint="choose a new folder")


def _changed(config: Any, changes: Changes) -> Any:
    """The config with other values; what follows from the number of layers is left to transformers."""
    values = config.to_dict()
    for part, update in changes.items():
        values[part] |= update
        if "num_hidden_layers" in update:
            values[part].pop("layer_types", None)
    return read_config(values, config.model_type)


@torch.no_grad()
def _draw(config: Any, seed: int) -> Any:
    """transformers' own start for biases and norms, and matrices that keep the scale of what they are given."""
    torch.manual_seed(seed)
    try:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            model = blank_model(config, dtype=torch.bfloat16)
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            "the GPU has not enough memory for the weights", hint="free some of it"
        ) from error
    in_decoder = {id(weight) for weight in model.get_decoder().parameters()}
    for name, weight in model.named_parameters():
        if "embed_tokens" in name:
            weight.normal_(0, 1)
        elif weight.dim() >= 2:
            in_tower = _LAYER.search(name) is not None and id(weight) not in in_decoder
            gain = _TOWER_LAYER_GAIN if in_tower else _GAIN
            weight.normal_(0, gain / weight[0].numel() ** 0.5)
        elif "lambda" in name or "gamma" in name:
            weight.fill_(0.5)
    return model


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    changes = {"text_config": {"num_hidden_layers": options.layers}} if options.layers else {}
    begin = perf_counter()
    logging.disable_progress_bar()
    try:
        count = write_random_checkpoint(options.profile, options.folder, seed=options.seed, changes=changes)
    except SharpvError as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return error.exit_code
    print(f"{options.folder}: {count:,} parameters in bfloat16, {perf_counter() - begin:.1f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("profile", help="a shipped profile: its model's shape is taken")
    parser.add_argument("folder", type=Path, help="where to write; it must be new or empty")
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    parser.add_argument("--layers", type=int, help="decoder layers instead of the model's own")
    return parser


if __name__ == "__main__":
    sys.exit(main())
