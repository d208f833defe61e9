"""The whole command on a clip of some minutes, which is decoded while it is encoded: nothing replaced."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from run_cli import ROOT, SHARPV, run, started
from waiting import LONG

from sharpv_cli.video.encoding import write_clip

SECONDS = 150


def moving(frames: int, height: int, width: int) -> Iterator[NDArray[np.uint8]]:
    """A red square that goes to the right, again and again."""
    for index in range(frames):
        frame = np.full((height, width, 3), 70, np.uint8)
        left = 4 * index % (width - 30)
        frame[height // 3 : height // 3 + 30, left : left + 30] = (220, 40, 40)
        yield frame


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    write_clip(folder / "long.mp4", moving(2 * SECONDS, 96, 160), 2.0)
    return folder


def test_minutes_at_a_frame_a_second(home: Path) -> None:
    asked = ["-q", "What colour is the square?", "-q", "Is there a red square?"]
    charts = ["--chart-out", "sheet.png", "--chart-out", "sheet.html"]
    options = ["--fps", "1", "--json", "--verbose", *charts, "--max-new-tokens", "8"]
    done = run(SHARPV, "ask", "long.mp4", *asked, *options, home=home)
    assert done.returncode == 0, done.stderr

    first, second = map(json.loads, done.stdout.splitlines())
    schema = json.loads((ROOT / "docs" / "schema" / "sharpv.ask.1.json").read_text(encoding="utf-8"))
    for document in (first, second):
        jsonschema.validate(document, schema)
        assert document["answer"].strip() != ""
        assert document["sampling"]["frames"] == SECONDS
        assert document["tokens"]["visual_total"] == SECONDS * 64
        assert SECONDS <= document["tokens"]["visual_kept"] < 8192
    assert first["timing"]["decode_sec"] > 0 <= first["timing"]["decode_wait_sec"]
    assert second["timing"]["vision_sec"] == 0
    assert "of which" in done.stderr
    assert f"{SECONDS} frames from" in done.stderr
    assert "decoded at 160x96" in done.stderr
    sheet = np.asarray(Image.open(home / "sheet.png"))
    assert (sheet[..., 0].astype(int) - sheet[..., 1] > 100).sum() > 1000, "frames are shown"
    data = re.search(r'id="data">(.*?)</script>', (home / "sheet.html").read_text("utf-8"))
    assert data is not None
    (clip,) = json.loads(data[1])["clips"]
    assert clip["kept"] == [frame["kept"] for frame in first["retention"]]
    assert (len(clip["pictures"]), all(clip["pictures"]), len(clip["answers"])) == (SECONDS, True, 2)


def test_ctrl_c_while_chunks_come_leaves_at_once(home: Path) -> None:
    process = started(SHARPV, "ask", "long.mp4", "what?", "--fps", "2", "--verbose", home=home)
    assert process.stderr is not None
    seen = next(line for line in process.stderr if "preparing the frames took" in line)
    assert seen
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=LONG)
    assert (process.returncode, out) == (130, "")


READ = """
import sys
from sharpv_cli.metrics import peak_rss_bytes
from sharpv_cli.video.ahead import FramesAhead
from sharpv_cli.video.sampling import Sampling
with FramesAhead(sys.argv[1], Sampling(frames=int(sys.argv[2])), whole=16, chunk=16) as frames:
    frames.first()
    taken = 0
    while (chunk := frames.get()) is not None:
        taken += len(chunk)
print(taken, peak_rss_bytes())
"""


def test_memory_for_frames_does_not_grow_with_them(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    write_clip(path, moving(600, 360, 640), 25.0)
    peaks = {}
    for frames in (64, 600):
        done = run([sys.executable, "-c", READ], str(path), str(frames), home=tmp_path)
        taken, peaks[frames] = map(int, done.stdout.split())
        assert taken == frames, done.stderr
    assert peaks[600] < peaks[64] + 100 * 360 * 640 * 3, "600 of them are 415 MB"
