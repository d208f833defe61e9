"""The built-in model through the real path, held against what the equations say of stock transformers' features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import jsonschema
import numpy as np
import pytest
import reference
import torch
from events import ask
from run_cli import ROOT, SHARPV, run
from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration

from sharpv_cli.benchmarks import sharing_cost
from sharpv_cli.settings import Settings, resolve
from sharpv_cli.shapes.demo import DemoClip, write_demo
from sharpv_cli.types import Answer, Finished

FOLDER = ROOT / "sharpv_cli" / "assets" / "tiny"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[DemoClip]:
    return write_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def document(clips: list[DemoClip], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a user's `sharpv ask ... --json` prints; of short clips the model's own M discards nothing."""
    home = tmp_path_factory.mktemp("home")
    done = run(SHARPV, "ask", str(clips[0].path), clips[0].question, "--m", "0.3", "--json", home=home)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _stock_features(path: Path, times: list[float]) -> np.ndarray:
    """Visual tokens [T, f, d] as stock transformers computes them from frames that a plain PyAV loop finds."""
    with av.open(str(path)) as container:
        decoded = [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    start = decoded[0][0]
    frames = np.stack([[image for time, image in decoded if time - start <= t + 1e-6][-1] for t in times])
    processor = AutoProcessor.from_pretrained(FOLDER)
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(FOLDER, dtype=torch.float32)
    pixels = processor.video_processor(videos=[frames], do_sample_frames=False, return_tensors="pt")
    with torch.no_grad():
        output = model.model.get_video_features(
            pixels["pixel_values_videos"], vision_feature_layer=-1, vision_feature_select_strategy="full"
        )
    tokens = output.pooler_output[0, : len(frames) * 64]
    return tokens.reshape(len(frames), 64, -1).numpy()


def test_the_document_agrees_with_the_equations(clips: list[DemoClip], document: dict[str, Any]) -> None:
    """Kept/total of every frame, recomputed in NumPy from stock features, with the settings the document names."""
    settings = document["profile"]["settings"]["visual"]
    features = _stock_features(clips[0].path, document["sampling"]["timestamps_sec"])
    ratio = reference.scores(features, settings["w"])["r"]
    expected = [reference.keep_count(float(r), 64, settings["scale"], settings["min_tokens"]) for r in ratio]
    assert [frame["kept"] for frame in document["retention"]] == expected
    assert {frame["total"] for frame in document["retention"]} == {64}
    assert document["tokens"]["visual_kept"] == sum(expected)


def test_the_document_is_whole_and_memory_sharpv_worked(document: dict[str, Any]) -> None:
    schema = json.loads((ROOT / "docs" / "schema" / "sharpv.ask.1.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, schema)
    assert document["answer"] == "left"
    assert document["finish_reason"] == "stop"
    layers, memory = document["layers"], document["memory"]
    threshold = document["profile"]["settings"]["memory"]["m"]
    assert any(not layer["visual_kv_kept"] for layer in layers)
    assert all(layer["visual_kv_kept"] == (layer["similarity"] >= threshold) for layer in layers)
    assert memory["kv_bytes"] == sum(layer["kv_bytes"] for layer in layers) < memory["kv_dense_bytes"]
    kept = sum(layer["visual_kv_kept"] for layer in layers) / len(layers)
    assert memory["kv_retention"] == pytest.approx(kept * document["tokens"]["visual_retention"])


def test_stdout_is_the_answer_alone(clips: list[DemoClip], tmp_path: Path) -> None:
    done = run(SHARPV, "ask", str(clips[1].path), clips[1].question, "--chart-out", "c.txt", home=tmp_path)
    assert done.stdout == f"{clips[1].answer}\n"
    assert "\x1b" not in done.stderr, "stderr is a pipe here: no escape codes"
    assert "visual retention" in (tmp_path / "c.txt").read_text(encoding="utf-8")


QUESTIONS = (
    "Which direction does the red circle move?",
    "How many objects are there?",
    "What colour is the circle?",
    "Is there a blue square?",
    "Describe the video.",
)


def test_five_questions_get_the_answers_of_five_runs(clips: list[DemoClip], tmp_path: Path) -> None:
    """One process, one look at the video; the runs are made one by one in this process."""
    questions = [argument for question in QUESTIONS for argument in ("-q", question)]
    done = run(SHARPV, "ask", str(clips[0].path), *questions, home=tmp_path)
    assert done.returncode == 0, done.stderr

    cost = sharing_cost.measure(str(clips[0].path), QUESTIONS, resolve({}, {}).settings, runs=1, warmup=0)

    assert cost.same
    assert cost.shared_bytes
    settings = resolve({}, {}).settings
    alone = [
        answer.text for question in QUESTIONS for answer in asked_alone(clips[0].path, question, settings)
    ]
    assert done.stdout.splitlines() == alone
    assert len(set(alone)) == len(QUESTIONS)


def asked_alone(path: Path, question: str, settings: Settings) -> list[Answer]:
    return [event.answer for event in ask(path, question, settings) if isinstance(event, Finished)]
