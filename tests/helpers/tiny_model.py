"""The random checkpoint, loaded once a session, a clip for it, and a reference with explicit masks."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_checkpoint import write_checkpoint

from sharpv_cli.engine.factory import Wanted
from sharpv_cli.models.capture import MASK, Prompt, VisualPrompt, capture
from sharpv_cli.models.loading import LoadedModel, load
from sharpv_cli.models.prompting import build_inputs
from sharpv_cli.session import Session
from sharpv_cli.settings import ModelSettings, PromptSettings
from sharpv_cli.types import FrameSample, VideoInfo

FRAMES = 6
QUESTION = "What is shown in this video?"


def folder(max_positions: int = 4096) -> Path:
    return _write(max_positions)


@cache
def _write(max_positions: int) -> Path:
    path = Path(tempfile.mkdtemp(prefix="sharpv-tiny-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return write_checkpoint(path, max_positions=max_positions)


def loaded(attention: str = "sdpa", max_positions: int = 4096) -> LoadedModel:
    return _load(attention, max_positions)


@cache
def _load(attention: str, max_positions: int) -> LoadedModel:
    settings = ModelSettings.model_validate({"id": str(folder(max_positions)), "attention": attention})
    return load(settings, "cpu")


def session(engine: Wanted = "auto", attention: str = "sdpa", max_positions: int = 4096) -> Session:
    return _open(engine, attention, max_positions)


@cache
def _open(engine: Wanted, attention: str, max_positions: int) -> Session:
    return Session.of(loaded(attention, max_positions), engine)


def clip(frames: int = FRAMES) -> tuple[VideoInfo, FrameSample]:
    """A red box that moves over a still, noisy background at 2 fps."""
    background = np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)
    images = np.stack([background] * frames)
    for t, image in enumerate(images):
        left = 5 + 60 * t // frames
        image[10:30, left : left + 15] = (250, 20, 20)
    info = VideoInfo("clip.mp4", "mp4", "h264", 80, 48, 0, 2.0, frames / 2, frames)
    times = tuple(t / 2 for t in range(frames))
    return info, FrameSample("uniform", images, tuple(range(frames)), times)


def stock_inputs(model: LoadedModel, question: str = QUESTION) -> dict[str, torch.Tensor]:
    return build_inputs(model, *clip(), question, PromptSettings())


def captured(attention: str = "sdpa") -> VisualPrompt:
    return _capture(attention)


@cache
def _capture(attention: str) -> VisualPrompt:
    model = loaded(attention)
    return capture(model.model, stock_inputs(model), model.family)


def some(prompt: VisualPrompt, part: float = 0.4, seed: int = 0) -> torch.Tensor:
    """A random keep mask [T, f]."""
    return torch.rand(prompt.slots.shape, generator=torch.Generator().manual_seed(seed)) < part


def everything(prompt: VisualPrompt) -> torch.Tensor:
    return torch.ones_like(prompt.slots, dtype=torch.bool)


@contextmanager
def recorded_logits(model: LoadedModel) -> Iterator[list[torch.Tensor]]:
    """The logits of every step while the context is open, each [vocabulary]."""
    rows: list[torch.Tensor] = []
    hook = model.model.get_output_embeddings().register_forward_hook(
        lambda _module, _args, output: rows.append(output[0, -1].clone())
    )
    try:
        yield rows
    finally:
        hook.remove()


def hook_count(model: LoadedModel) -> int:
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.model.modules()
    )


@torch.no_grad()
def explicit_mask_logits(
    model: LoadedModel,
    prompt: Prompt,
    answer: Collection[int],
    *,
    hidden_from_all: torch.Tensor | None = None,
    blind_layers: Collection[int] = (),
) -> torch.Tensor:
    """Logits [len(answer), vocabulary] of one uncached pass over prompt and answer, one mask a layer.

    `hidden_from_all` int64: columns that nobody sees (pruned tokens of an unpruned prompt). In
    `blind_layers` the answer does not see `prompt.visual`.
    """
    start, length = len(prompt), len(prompt) + len(answer) - 1
    seen = torch.ones(length, length, dtype=torch.bool).tril()
    if hidden_from_all is not None:
        seen[:, hidden_from_all] = False
        seen |= torch.eye(length, dtype=torch.bool)
    blind = seen.clone()
    blind[start:, prompt.visual] = False
    layers = range(len(model.model.get_decoder().layers))
    return masked_logits(model, prompt, answer, [blind if i in blind_layers else seen for i in layers])


@torch.no_grad()
def masked_logits(
    model: LoadedModel, prompt: Prompt, answer: Collection[int], seen: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Logits [len(answer), vocabulary] of one uncached pass; `seen` bool [length, length] by layer: row sees column."""
    decoder = model.model.get_decoder()
    start, length = len(prompt), len(prompt) + len(answer) - 1
    ids = torch.tensor([list(answer)[:-1]], dtype=torch.long)
    embeds = torch.cat([prompt.embeds, model.model.get_input_embeddings()(ids)], dim=1)
    later = prompt.position_ids[..., -1:] + torch.arange(1, length - start + 1)
    extra = dict(prompt.extra)
    if extra:
        extra[MASK] = torch.nn.functional.pad(extra[MASK], (0, length - start))
    masks = [_mask(model, one) for one in seen]
    hooks = [
        layer.register_forward_pre_hook(_with_mask(mask), with_kwargs=True)
        for layer, mask in zip(decoder.layers, masks, strict=True)
    ]
    try:
        output = decoder(
            inputs_embeds=embeds,
            position_ids=torch.cat([prompt.position_ids, later], dim=-1),
            attention_mask=masks[0],
            use_cache=False,
            **extra,
        )
    finally:
        for hook in hooks:
            hook.remove()
    logits: torch.Tensor = model.model.get_output_embeddings()(output.last_hidden_state[0, start - 1 :])
    return logits


def _mask(model: LoadedModel, seen: torch.Tensor) -> torch.Tensor:
    if model.info.attention == "sdpa":
        return seen[None, None]
    return torch.zeros(1, 1, *seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)


def _with_mask(mask: torch.Tensor) -> Any:
    return lambda _layer, args, kwargs: (args, {**kwargs, "attention_mask": mask})


def assert_close(got: torch.Tensor, want: torch.Tensor) -> None:
    """Within 1e-5 of the largest logit."""
    assert got.shape == want.shape
    assert (got - want).abs().max() <= 1e-5 * want.abs().max(), (got - want).abs().max()


def assert_far(got: torch.Tensor, want: torch.Tensor) -> None:
    assert (got - want).abs().max() >= 1e-2 * want.abs().max(), (got - want).abs().max()
