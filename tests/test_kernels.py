"""The Triton kernels against PyTorch, run on the CPU by Triton's interpreter, which wants a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from interpreted_kernels import CHECKS

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")


@cache
def verdicts() -> dict[str, str]:
    script = Path(__file__).parent / "helpers" / "interpreted_kernels.py"
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("check", CHECKS)
def test_kernels_compute_what_pytorch_does(check: str) -> None:
    assert verdicts()[check] == "right"
