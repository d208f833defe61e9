"""The prompt of a family's tiny model, what Visual SharpV chooses of it, and what stock `generate` answers."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import torch
from tiny_families import inputs, loaded

from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.models.capture import Prompt, VisualPrompt, capture
from sharpv_cli.pipeline.selecting import select
from sharpv_cli.pruning.visual import score
from sharpv_cli.settings.schema import VisualSettings

NEW = 8


@cache
def captured(family: str, attention: str = "sdpa") -> VisualPrompt:
    model = loaded(family, attention)
    return capture(model.model, inputs(model), model.family)


def selected(whole: VisualPrompt, mode: str) -> torch.Tensor:
    """Visual SharpV's own choice: some tokens stay and some go."""
    importance = score(whole.features).importance
    settings = VisualSettings.model_validate({"mode": mode, "k": float(importance.median())})
    keep = select(whole, settings, positions="original", context=None, max_new_tokens=NEW).keep
    assert 0 < int(keep.sum()) < keep.numel()
    return keep


def some_layers(family: str, attention: str, prompt: Prompt) -> float:
    """A threshold M in the widest gap between the layers' similarities."""
    similarities = ReferenceEngine(loaded(family, attention).model).prefill(prompt, m=-1.0).similarities
    low, high = max(pairwise(sorted(s for s in similarities if s is not None)), key=lambda at: at[1] - at[0])
    assert high - low > 1e-3
    return (low + high) / 2


def stock(family: str, attention: str, *, last_only: bool = False) -> tuple[list[int], torch.Tensor]:
    """What stock `generate` makes of the processor's output; `last_only`: its head sees the last position only."""
    model = loaded(family, attention)
    prompt = inputs(model)
    head = model.model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _head, args: (args[0][:, -1:],)) if last_only else None
    output = model.model.generate(
        **prompt, max_new_tokens=NEW, do_sample=False, return_dict_in_generate=True, output_logits=True
    )
    if hook is not None:
        hook.remove()
    return output.sequences[0, prompt["input_ids"].shape[1] :].tolist(), torch.cat(output.logits)
