"""What holds for all tests, and for the processes that they start."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

# Before torch is imported. More threads make tiny models no faster, and many times slower where cores are shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command has it
os.environ["SHARPV_KEEP_WARM"] = "0"  # no process outlives a test, but for those of test_warm.py
os.environ["SHARPV_SEEN"] = "off"  # nothing of a test stays in the user's cache


@pytest.fixture(autouse=True)
def nothing_kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No store in this process either, but for tests of the store, which have one of their own."""
    if not request.module.__name__.startswith(("test_seen", "test_python_m")):
        monkeypatch.setattr("sharpv_cli.seen.store.Store.of", lambda *_: None)


@pytest.fixture(autouse=True)
def environment_restored() -> Iterator[None]:
    """A command that runs in this process may say to libraries, by the environment, that it is offline."""
    with patch.dict(os.environ):
        yield


@pytest.fixture(autouse=True)
def said_as_usual() -> None:
    """A command that ran in this process may have been a quiet one."""
    from sharpv_cli import terminal

    terminal.set_level()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder of its own, with a clip of ten grey frames."""
    from sharpv_cli.video.encoding import write_clip

    folder = tmp_path_factory.mktemp("home")
    frames = [np.full((64, 96, 3), level, np.uint8) for level in range(0, 240, 24)]
    write_clip(folder / "clip.mp4", frames, 10.0)
    return folder
