"""What a checkpoint's generation_config.json asks for, as stock `generate` understands it."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from sharpv_cli.errors import ModelError
from sharpv_cli.models.blame import Using
from sharpv_cli.models.inspecting import GENERATION
from sharpv_cli.text import shown

# What one answer, token by token, cannot have, with the value that stands for not having it: said by name.
_NOT_DONE: dict[str, Any] = {
    "num_beams": 1,
    "num_beam_groups": 1,
    "num_return_sequences": 1,
    "constraints": None,
    "force_words_ids": None,
    "penalty_alpha": None,
    "dola_layers": None,
    "guidance_scale": None,
    "prompt_lookup_num_tokens": None,
    "assistant_early_exit": None,
    "speculation_type": None,
    "use_mtp": None,
    "token_healing": False,
    "stop_strings": None,
    "max_time": None,
}
# How stock comes to an answer, not to which one: ours to decide.
_OURS: dict[str, Any] = {"use_cache": True, "cache_implementation": None, "prefill_chunk_size": None}
# What changes no logit of a greedy answer: with nothing else there is nothing to ask `generate` for.
_NO_PROCESSOR = frozenset(
    "max_length max_new_tokens do_sample temperature top_k top_p min_p top_h typical_p epsilon_cutoff eta_cutoff "
    "length_penalty early_stopping bos_token_id eos_token_id pad_token_id transformers_version _from_model_config "
    "_commit_hash _original_object_hash".split()
).union(_NOT_DONE, _OURS)
_FAILURES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError)


def options(
    model: Any, *, max_new_tokens: int, stop_ids: Collection[int], temperature: float
) -> dict[str, Any]:
    """The arguments with which stock `generate` chooses tokens as we do; all else is the checkpoint's own.

    Greedy unless a temperature is asked for, whatever the checkpoint says; then with its top-k, top-p and so on.
    """
    known = vars(model.generation_config)  # `generate` takes any other name for one of the model's inputs
    return {
        **{name: value for name, value in (_NOT_DONE | _OURS).items() if name in known},
        "max_new_tokens": max_new_tokens,
        "eos_token_id": sorted(stop_ids) or None,
        "do_sample": temperature > 0,
        **({"temperature": temperature} if temperature > 0 else {}),
    }


def logits_processors(model: Any, input_ids: Tensor, **how: Any) -> Any:
    """What stock `generate` does to logits before it picks a token: a callable of the ids so far and the logits.

    `input_ids` int64 [1, P] is the prompt, `how` as `options` takes it. It is false where there is nothing to do.
    Raises ModelError for what the checkpoint asks for in vain.
    """
    asked = {name for name, value in vars(model.generation_config).items() if value is not None}
    if not how["temperature"] and asked <= _NO_PROCESSOR:
        return ()
    name = str(model.name_or_path)
    try:
        processors = _stock_processors(model, input_ids, **how)
    except _FAILURES as error:
        raise _unusable(name, error) from error

    def apply(ids: Tensor, logits: Tensor) -> Tensor:
        with Using(GENERATION, name):
            processed: Tensor = processors(ids, logits)
        return processed

    return apply if processors else ()


def _stock_processors(model: Any, input_ids: Tensor, **how: Any) -> Any:
    """From `generate` itself, which hands them to a loop of one's own: so they are right in every version."""

    def take(_model: Any, _input_ids: Tensor, logits_processor: Any, **_: Any) -> Any:
        return logits_processor

    # transformers warns of lengths that cannot be, and answers all the same.
    with warnings.catch_warnings(action="ignore"):
        return model.generate(
            input_ids,
            attention_mask=torch.ones_like(input_ids),
            position_ids=torch.zeros_like(input_ids),  # else some models would look for the video's
            custom_generate=take,
            **options(model, **how),
        )


def check(model: Any, name: str) -> tuple[str, ...]:
    """What to say about a checkpoint's generation_config.json: what of it is not done.

    Raises ModelError where greedy decoding cannot go by it. Tried on the CPU: a wrong id would break a GPU's context.
    """
    try:
        stop_ids = end_ids(model) or ()
        logits = torch.zeros(1, model.config.get_text_config().vocab_size)
        ids = torch.zeros(1, 2, dtype=torch.int64)  # a prompt of one token, and the first of an answer's two
        processors = _stock_processors(
            model, ids[:, :1], max_new_tokens=2, stop_ids=stop_ids, temperature=0.0
        )
        processors(ids[:, :1], logits)
        processors(ids, logits)  # some act on the last token alone
    except _FAILURES as error:
        raise _unusable(name, error) from error
    return _not_done(model)


def end_ids(model: Any) -> frozenset[int] | None:
    """The token ids that end an answer, None where the checkpoint does not say."""
    ids = model.generation_config.eos_token_id
    return None if ids is None else frozenset(ids if isinstance(ids, list) else [ids])


def _not_done(model: Any) -> tuple[str, ...]:
    asked = {
        name: value
        for name, neutral in _NOT_DONE.items()
        if (value := getattr(model.generation_config, name, None)) not in (None, False, neutral)
    }
    if not asked:
        return ()
    listed = ", ".join(f"{name}={value!r}" for name, value in asked.items())
    return (f"the model's {GENERATION} asks for {listed}, which sharpv does not do: it answers without",)


def _unusable(name: str, error: Exception) -> ModelError:
    return ModelError(
        f"{shown(name)}: its {GENERATION} cannot be used: {' '.join(str(error).split())}",
        hint=f"correct or remove it; without {GENERATION} the config's own values are used",
    )
