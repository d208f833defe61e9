"""The table of where a command's time goes."""

from __future__ import annotations

import pytest

from sharpv_cli.benchmarks import start_times

SAID = b"""import time: self [us] | cumulative | imported package
import time:      1500 |       1500 |     json.decoder
import time:     60000 |      80000 | torch
import time:     70000 |      70000 |   torch._dynamo.utils
import time:      2000 |      72000 | torch._dynamo
import time:      9000 |       9000 |   av.codec
note: a line of the command
import time:      1000 |       1000 |   torch._dynamos
"""


def test_imports_are_added_up_by_library() -> None:
    assert start_times.imports(SAID) == {
        "Python's own modules": 1.5,
        "torch": 61.0,
        "torch._dynamo": 72.0,
        "av": 9.0,
    }


def test_what_is_small_everywhere_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = iter(
        [{"a": 10.0, "b": 99.0, "all else": 1.0}, {"a": 30.0, "all else": 3.0}, {"a": 50.0, "b": 1.0}]
    )
    monkeypatch.setattr(start_times, "timed", lambda command, folder: next(runs))
    found = start_times.measured(["demo"], 3)
    assert found == {"demo": {"other libraries": 31.0, "all else": 1.0}}
    monkeypatch.setattr(start_times, "timed", lambda command, folder: {"b": 99.0, "**whole command**": 100.4})
    lines = start_times.table(start_times.measured(["ask", "demo"], 1)).splitlines()
    assert lines[0] == "| ms | ask | demo |"
    assert lines[2:] == [
        "| b | 99 | 99 |",
        "| other libraries | 0 | 0 |",
        "| **whole command** | 100 | 100 |",
    ]
