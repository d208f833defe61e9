"""The whole command on the built-in model, nothing replaced: one run, because it takes seconds."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
from run_cli import ROOT, SHARPV, run

from sharpv_cli.video.encoding import write_clip


def test_ask_the_built_in_model(tmp_path: Path) -> None:
    frames = [np.full((120, 160, 3), 70, np.uint8) for _ in range(20)]
    for index, frame in enumerate(frames):
        frame[40:80, 5 * index : 5 * index + 40] = (220, 40, 40)
    write_clip(tmp_path / "clip.mp4", frames, 10.0)
    args = ["clip.mp4", "what colour is the square?", "--json", "--stats", "--max-new-tokens", "8"]
    done = run(SHARPV, "ask", *args, home=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    schema = json.loads((ROOT / "docs" / "schema" / "sharpv.ask.1.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, schema)
    assert document["answer"].strip() != ""
    assert document["sampling"]["frames"] == 8
    assert 0 < document["tokens"]["visual_kept"] < document["tokens"]["visual_total"]
    assert document["memory"]["kv_bytes"] < document["memory"]["kv_dense_bytes"]
    assert document["profile"]["name"] == "tiny"
    assert done.stderr.startswith("note: the built-in demo model answers")
    assert "TTFT" in done.stderr
