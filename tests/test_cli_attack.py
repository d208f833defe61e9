"""What a careless or hostile user met when trying to break the command line, each once."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_cli import run, scripted

VIDEO = b"\x00\x00\x00\x18ftypisom"  # nothing reads it: the pipeline is scripted, or the run ends before


@pytest.mark.parametrize("columns", ["0", "\N{SUPERSCRIPT TWO}", "-5", "wide"])
def test_a_width_that_is_none_hides_no_error(tmp_path: Path, columns: str) -> None:
    done = run(scripted("real"), "ask", "nope.mp4", "what?", home=tmp_path, COLUMNS=columns)
    assert done.returncode == 3
    assert "error: no such file: nope.mp4\n" in done.stderr
