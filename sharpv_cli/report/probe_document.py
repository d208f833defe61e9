"""The JSON document of an outlook, `sharpv.probe/1` (docs/schema/sharpv.probe.1.json): keys are only added."""

from __future__ import annotations

from collections.abc import Mapping

from sharpv_cli import __version__
from sharpv_cli.report.document import pick, plain
from sharpv_cli.types import MemoryScenario, ModelOutlook, Outlook

SCHEMA = "sharpv.probe/1"
_VIDEO = (
    "path", "container", "codec", "width", "height", "rotation_deg", "duration_sec", "fps", "frames_total",
)  # fmt: skip
_STREAM = ("index", "kind", "codec", "width", "height", "rate", "channels", "language", "main", "subtitles")
_MODEL = ("id", "family", "source", "parameters", "layers", "context", "kv_bytes_per_token")
_MEMORY = ("weights", "frames", "pixels", "embeddings", "vision", "prefill", "kv_cache")


def probe_document(outlook: Outlook, profile: Mapping[str, object]) -> dict[str, object]:
    """The document as plain types, every key present and in the schema's order.

    `profile` is the block of that name (`Resolved.told`); where nothing is known of the model, `model`, `tokens` and
    `memory` are None and `model_error` says why. Units are in the keys.
    """
    model, error = outlook.model, outlook.model_error
    document = {
        "schema": SCHEMA,
        "sharpv_version": __version__,
        "video": {
            **pick(outlook.video, _VIDEO),
            "variable_rate": outlook.variable_rate,
            "size_bytes": outlook.size_bytes,
            "streams": [pick(stream, _STREAM) for stream in outlook.streams],
            "subtitle_files": outlook.subtitle_files,
        },
        "sampling": {
            "strategy": outlook.plan.strategy,
            "frames": len(outlook.plan),
            "indices": outlook.plan.indices,
            "timestamps_sec": outlook.plan.timestamps_sec,
        },
        "profile": profile,
        "model": None if model is None else pick(model, _MODEL),
        "model_error": None if error is None else {"error": error[0], "hint": error[1]},
        "tokens": None if model is None else _tokens(model),
        "memory": None if model is None else _memory(model),
        "warnings": outlook.warnings,
    }
    return {key: plain(value) for key, value in document.items()}


def _tokens(model: ModelOutlook) -> dict[str, object]:
    return {
        "visual_total": model.visual_tokens,
        "slots": model.slots,
        "rows": model.rows,
        "columns": model.columns,
        "text_estimate": model.text_tokens,
    }


def _memory(model: ModelOutlook) -> dict[str, object]:
    return {
        "device": model.device,
        "dtype": model.dtype,
        "available_bytes": model.available_bytes,
        "scenarios": [_scenario(scenario) for scenario in model.scenarios],
        "fits": model.scenarios[0].fits,
        "advice": model.advice,
        "chunk_frames": model.chunk_frames,
    }


def _scenario(scenario: MemoryScenario) -> dict[str, object]:
    sizes = pick(scenario.estimate, _MEMORY)
    return {
        "name": scenario.name,
        "visual_retention": scenario.retention,
        "visual_kept": scenario.kept,
        **{f"{key}_bytes": value for key, value in sizes.items()},
        "device_bytes": scenario.estimate.device_bytes,
        "fits": scenario.fits,
    }
