"""The JSON document of one clip's profile, `sharpv.profile/1` (docs/schema): keys are only added."""

from __future__ import annotations

from collections.abc import Mapping

from sharpv_cli import __version__
from sharpv_cli.report import profile_numbers as numbers
from sharpv_cli.report.document import TIMING, clip_blocks, measured_blocks, pick, plain
from sharpv_cli.report.engine_document import engines_block
from sharpv_cli.types import Answer, ClipProfile, MethodProfile, SweepPoint

SCHEMA = "sharpv.profile/1"
_COST = ("vision_flops", "prefill_flops", "decode_flops_per_token", "decode_weight_bytes", "decode_kv_bytes")
_RATES = ("copy_bytes_per_sec", "matmul_flops_per_sec", "dtype")
_FAILURE = ("error", "hint")
_CLIP = ("video", "sampling", "model")


def profile_document(profile: ClipProfile, about: Mapping[str, object]) -> dict[str, object]:
    """The document as plain types, every key present and in the schema's order.

    `about` is the block `profile` (`Resolved.told`). `methods` has the methods that were measured, each with the
    blocks of `sharpv.ask/1`. Units are in the keys; what was not measured and what is not finite is None, for
    JSON has no NaN.
    """
    document = {
        "schema": SCHEMA,
        "sharpv_version": __version__,
        "question": profile.question,
        **(_clip(profile.methods[0].answer) if profile.methods else dict.fromkeys(_CLIP)),
        "profile": about,
        "new_tokens": profile.new_tokens,
        "warmup": profile.warmup,
        "interrupted": profile.interrupted,
        "rates": None if profile.rates is None else pick(profile.rates, _RATES),
        "methods": {method.method: _method(profile, method) for method in profile.methods},
        "sweep": [_swept(profile, point) for point in profile.sweep if point.profile.method != "dense"],
        "sweep_failures": [
            {**pick(failed, ("key", "value", "method")), **pick(failed.failure, _FAILURE)}
            for failed in profile.sweep_failures
        ],
        "engines": engines_block(profile),
    }
    return {key: plain(value) for key, value in document.items()}


def _clip(answer: Answer) -> dict[str, object]:
    blocks = clip_blocks(answer)
    return {name: blocks[name] for name in _CLIP}


def _swept(profile: ClipProfile, point: SweepPoint) -> dict[str, object]:
    """A value with the settings as given, and inside of it the same value dense, where that was measured."""
    dense = next((one for one in profile.sweep if _is_dense(one) and one.value == point.value), None)
    return {
        "key": point.key,
        "value": point.value,
        "method": point.profile.method,
        "sampling": clip_blocks(point.profile.answer)["sampling"],
        **_method(profile, point.profile),
        "dense": _method(profile, dense.profile) if dense is not None and point.key == dense.key else None,
    }


def _is_dense(point: SweepPoint) -> bool:
    return point.profile.method == "dense"


def _method(profile: ClipProfile, method: MethodProfile) -> dict[str, object]:
    answer = method.answer
    return {
        **measured_blocks(answer),
        "answer": answer.text,
        "finish_reason": answer.finish_reason,
        "agrees_with_dense": numbers.agrees(profile, method),
        "seed": answer.seed,
        "warnings": answer.warnings,
        "cost": pick(method.cost, _COST),
        "achieved": {
            "matmul_share": numbers.matmul_share(profile, method),
            "copy_share": numbers.copy_share(profile, method),
        },
        "floors": {
            "vision": numbers.vision_floor(profile, method),
            "prefill": numbers.prefill_floor(profile, method),
            "decode": numbers.decode_floor(profile, method),
        },
        "own_cost": {
            "scoring_share": numbers.scoring_share(method),
            "memory_share": numbers.memory_share(profile, method),
        },
        "summary": {key: _summary(profile, method, key) for _, key in numbers.TIMES},
        "runs": [pick(run, TIMING) for run in method.runs],
    }


def _summary(profile: ClipProfile, method: MethodProfile, key: str) -> dict[str, object]:
    """Of one time over the runs; all None where it was not measured."""
    spread = numbers.ends(numbers.spread(method, key))
    return {**spread, "ratio_to_dense": numbers.time_ratio(profile, method, key)}
