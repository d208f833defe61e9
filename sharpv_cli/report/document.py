"""The JSON document of one answer, `sharpv.ask/1` (docs/schema/sharpv.ask.1.json): keys are only added."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sharpv_cli import __version__
from sharpv_cli.errors import SharpvError
from sharpv_cli.types import Answer

SCHEMA = "sharpv.ask/1"
ERROR_SCHEMA = "sharpv.error/1"
# Named one by one: a field that is added to a result reaches the document only when the schema knows it.
_VIDEO = ("path", "duration_sec", "fps", "width", "height", "rotation_deg", "frames_total")
_SUBTITLES = ("source", "format", "language", "cues", "left_out", "tokens")
_MODEL = ("id", "revision", "family", "dtype", "device", "attention")
_ENGINE = ("engine", "engine_reason")
_FRAME = ("frame", "timestamp_sec", "kept", "total", "ratio")
_LAYER = ("layer", "similarity", "visual_kv_kept", "kv_entries", "kv_bytes")
_MEMORY = (
    "kv_dense_bytes", "kv_bytes", "kv_retention", "weights_bytes", "peak_bytes", "shared_prefix_bytes",
)  # fmt: skip
_CHOICE = ("text", "probability", "probability_by_length", "logprob")
_TOKEN = ("id", "text", "logprob")
TIMING = (
    "load_sec", "decode_sec", "preprocess_sec", "vision_sec", "prune_sec",
    "prefill_sec", "ttft_sec", "tpot_sec", "total_sec", "decode_wait_sec",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer with the block `profile` of its document, which says by what settings it was given."""

    answer: Answer
    profile: Mapping[str, object]

    def document(self) -> dict[str, object]:
        return ask_document(self.answer, self.profile)


def ask_document(answer: Answer, profile: Mapping[str, object]) -> dict[str, object]:
    """The document as plain types, every key present and in the schema's order.

    `profile` is the block of that name (`Resolved.told`). Units are in the keys (seconds, bytes); what was not
    measured and what is not finite is None, for JSON has no NaN.
    """
    document = {
        "schema": SCHEMA,
        "sharpv_version": __version__,
        "question": answer.question,
        "answer": answer.text,
        "answer_json": answer.value,
        "finish_reason": answer.finish_reason,
        "choices": [pick(choice, _CHOICE) for choice in answer.choices] or None,
        "logprobs": _logprobs(answer),
        **clip_blocks(answer),
        "profile": profile,
        **measured_blocks(answer),
        "seed": answer.seed,
        "warm": answer.warm,
        "warnings": answer.warnings,
    }
    return {key: plain(value) for key, value in document.items()}


def _logprobs(answer: Answer) -> dict[str, object] | None:
    """Of each token, with their sum and mean."""
    if (tokens := answer.logprobs) is None:
        return None
    total = math.fsum(token.logprob for token in tokens)
    return {
        "tokens": [pick(token, _TOKEN) for token in tokens],
        "sum": total,
        "mean": total / len(tokens) if tokens else None,
    }


def error_document(
    error: SharpvError, *, line: int, id: str | None = None, path: str | None = None
) -> dict[str, object]:
    """What stands in the place of an answer among several: question or input line `line`, from 1, has none.

    `path` is the video's, where it is known which.
    """
    return {
        "schema": ERROR_SCHEMA,
        "id": id,
        **({} if path is None else {"path": path}),
        "line": line,
        "exit_code": error.exit_code,
        "error": str(error),
        "hint": error.hint,
    }


def clip_blocks(answer: Answer) -> dict[str, object]:
    """What was asked about and what answered: video, sampling, model."""
    return {
        "video": {**pick(answer.video, _VIDEO), "seen": answer.seen},
        "sampling": {
            "strategy": answer.sample.strategy,
            "frames": len(answer.sample),
            "timestamps_sec": answer.sample.timestamps_sec,
        },
        "subtitles": None if answer.subtitles is None else pick(answer.subtitles, _SUBTITLES),
        "model": {**pick(answer.model, _MODEL), **pick(answer, _ENGINE)},
    }


def measured_blocks(answer: Answer) -> dict[str, object]:
    """What was measured: tokens, retention, layers, memory, timing."""
    return {
        "tokens": {
            **pick(answer, ("visual_total", "visual_kept", "visual_retention")),
            "text": answer.text_tokens,
            "generated": answer.generated_tokens,
        },
        "retention": [pick(frame, _FRAME) for frame in answer.retention],
        "layers": [pick(layer, _LAYER) for layer in answer.layers],
        "memory": pick(answer.memory, _MEMORY),
        "timing": pick(answer.timing, TIMING),
    }


def pick(source: object, names: tuple[str, ...]) -> dict[str, object]:
    """The attributes `names` of `source`."""
    return {name: getattr(source, name) for name in names}


def plain(value: object) -> object:
    """`value` in JSON's own types: NumPy scalars and paths converted, not finite numbers to None."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    assert isinstance(value, Iterable), f"{type(value).__name__} has no place in a JSON document"
    return [plain(item) for item in value]
