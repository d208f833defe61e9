"""The block `engines` of `sharpv.profile/1`: engines side by side, as plain types."""

from __future__ import annotations

from sharpv_cli.report import engine_numbers as numbers
from sharpv_cli.report.document import pick
from sharpv_cli.report.profile_numbers import ends
from sharpv_cli.types import ClipProfile, EngineProfile

_RUN = tuple(key for _, key in numbers.TIMES)


def engines_block(profile: ClipProfile) -> dict[str, object]:
    """By engine and method; empty where engines were not asked for."""
    found: dict[str, dict[str, object]] = {}
    for engine in profile.engines:
        found.setdefault(engine.engine, {})[engine.method] = _engine(profile, engine)
    return dict(found)


def _engine(profile: ClipProfile, engine: EngineProfile) -> dict[str, object]:
    answer, failure = engine.answer, engine.failure
    return {
        "error": failure and failure.error,
        "hint": failure and failure.hint,
        "answer": answer and answer.text,
        "tokens": {
            "generated": answer and len(answer.tokens),
            "equal": numbers.equal_tokens(profile, engine),
            "compared_with": _other(numbers.token_base_of(profile, engine), engine),
        },
        "memory": {"kv_bytes": answer and answer.kv_bytes, "peak_bytes": answer and answer.peak_bytes},
        "compared_with": _other(numbers.base_of(profile), engine),
        "summary": {key: _summary(profile, engine, key) for key in _RUN},
        "runs": [pick(run, _RUN) for run in engine.runs],
    }


def _other(base: EngineProfile | None, engine: EngineProfile) -> str | None:
    """The engine that this one is compared with; None where that is itself."""
    return None if base is None or base is engine else base.engine


def _summary(profile: ClipProfile, engine: EngineProfile, key: str) -> dict[str, object]:
    return {**ends(numbers.spread(engine, key)), "ratio": numbers.time_ratio(profile, engine, key)}
