"""The made-up profile behind the files tests/golden/profile_*.txt."""

from __future__ import annotations

from pathlib import Path

from make_answer import make_profile

from sharpv_cli.types import ClipProfile, EngineName, Failure, SweepFailure

GOLDEN = Path(__file__).parents[1] / "golden"
SWEEP = (("w", 0), ("w", 0.5), ("w", 1), ("k", 1.6), ("frames", 8), ("frames", 32))
ENGINES: tuple[EngineName, ...] = ("stock", "reference", "fast")
REASON = "reading 25088 visual tokens and 60 of text needs about 46.1 GiB; 30.2 GiB are free on cuda:0"
FAILED = tuple(SweepFailure("frames", 128.0, method, Failure(REASON, None)) for method in ("both", "dense"))


def golden_profile() -> ClipProfile:
    """With everything that a report may have."""
    return make_profile(8, sweep=SWEEP, engines=ENGINES, sweep_failures=FAILED)
