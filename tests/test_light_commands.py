"""What needs no model runs in a process that imports neither PyTorch nor transformers, and says the same."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

import apart_work
import pytest
from clips import encode
from run_cli import run, scripted
from tiny_checkpoint import write_checkpoint

from sharpv_cli.errors import ModelError, ResourceError
from sharpv_cli.models import apart, target
from sharpv_cli.models.apart import Frameworks
from sharpv_cli.models.dimensions import language_model, vision_tower
from sharpv_cli.models.families.resizing import enlarged, resized
from sharpv_cli.models.known import asks_transformers, foretold, known, shipped
from sharpv_cli.settings import ModelSettings, Settings

FORBIDDEN = scripted("real")  # torch and transformers cannot be imported


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    encode(folder / "clip.mp4", 20)
    write_checkpoint(folder / "model")
    return folder


@pytest.mark.parametrize(
    "line",
    [
        "probe clip.mp4 --json",
        "probe clip.mp4 --json -p qwen2.5-vl-7b",
        "probe clip.mp4 --json --model ./model",
        "models list --json",
        "models show tiny",
        "models show llava-ov-7b",
        "models show ./model",
        "demo clips",
    ],
)
def test_neither_is_imported(home: Path, line: str) -> None:
    done = run(FORBIDDEN, *line.split(), home=home, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    if line.startswith("probe"):
        assert json.loads(done.stdout)["model"]["layers"] > 0


def test_doctor_asks_another_process(home: Path) -> None:
    """In which they are not forbidden: the device is known."""
    done = run(FORBIDDEN, "doctor", "--json", home=home, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    chosen = [check["value"] for check in json.loads(done.stdout)["checks"] if check["name"] == "chosen"]
    assert chosen == ["cpu, float32", "sdpa (flash-attn needs CUDA)"]


@pytest.mark.parametrize("line", ["ask clip.mp4 what? -p llava-ov-0.5b", "models pull llava-ov-0.5b"])
def test_a_hub_out_of_reach_is_told_before(home: Path, line: str) -> None:
    done = run(FORBIDDEN, *line.split(), home=home, HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 4
    assert "the hub cannot be reached" in done.stderr


# What is known without them is what they say.


@pytest.mark.parametrize("name", ["builtin", *shipped()])
def test_plain_files_say_what_transformers_says(name: str) -> None:
    model = ModelSettings(id=name)
    assert not asks_transformers(model)
    plain, full = foretold(model), known(model)
    assert (plain.parameters, plain.context, plain.source) == (full.parameters, full.context, full.source)
    assert language_model(plain.config, 2) == language_model(full.config, 2)
    for frames, height, width in ((1, 30, 40), (8, 360, 640), (33, 1080, 1920), (200, 720, 400)):
        grid = plain.grid(frames, height, width)
        assert grid == full.grid(frames, height, width)
        tokens = grid[1] * grid[2]
        ours = vision_tower(plain.config, plain.video_processor, tokens)
        assert ours == vision_tower(full.config, full.video_processor, tokens)


def test_frames_are_sized_as_transformers_does() -> None:
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import smart_resize as of_two
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize as of_three
    from transformers.models.video_llama_3.video_processing_video_llama_3 import smart_resize as of_llama

    some = random.Random(5)
    for _ in range(500):
        height, width, frames = some.randint(20, 3000), some.randint(20, 3000), some.randint(2, 99)
        factor, least = some.choice([28, 32]), some.choice([3136, 131_072])
        most = some.choice([200_000, 12_845_056])
        for whole in (of_two, of_llama):
            assert resized(height, width, factor, least, most) == whole(height, width, factor, least, most)
        ours = resized(*enlarged(height, width, factor), factor, least, most, frames, 2)
        assert ours == of_three(frames, height, width, 2, factor, least, most)
    with pytest.raises(ValueError, match="aspect ratio must be smaller than 200, got 201"):
        resized(201, 1, 28, 1, 10**6)


@pytest.mark.parametrize(
    ("device", "without", "asks"),
    [
        ("cpu", False, False),
        ("auto", True, False),
        ("auto", False, True),
        ("cuda", True, True),
        ("mps", True, True),
    ],
)
def test_torch_is_asked_where_there_may_be_a_gpu(
    device: str, without: bool, asks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "no_gpu", lambda: without)
    settings = Settings(device=device)
    assert target.asks_torch(settings) is asks


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16", "float16"])
def test_the_target_is_the_one_of_torch(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpv_cli.models.available.host_bytes", lambda: 5)
    settings = Settings(device="cpu", model=ModelSettings(dtype=dtype))  # type: ignore[arg-type]
    alone = target.target_of(settings)
    monkeypatch.setattr(target, "asks_torch", lambda _settings: True)
    assert alone == target.target_of(settings)


# The process that is asked


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is imported: what is asked is all that matters."""
    usual = "from sharpv_cli.models.apart import serve; serve()"
    assert usual in apart._PROGRAM
    other = "from sharpv_cli.models import apart; apart.import_framework = str; apart.serve()"
    monkeypatch.setattr(apart, "_PROGRAM", apart._PROGRAM.replace(usual, other))


def test_an_answer_a_refusal_and_a_crash(quick: None) -> None:
    with Frameworks() as frameworks:
        assert frameworks.ask(apart_work.shout, 1) == 2
    with Frameworks() as frameworks, pytest.raises(ModelError, match="not this one") as caught:
        frameworks.ask(apart_work.refuse)
    assert caught.value.hint == "another"
    with Frameworks() as frameworks, pytest.raises(ModelError, match="cannot be used: the last words"):
        frameworks.ask(apart_work.crash)


def test_a_hang_is_told(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_SEC", 0.1)
    with Frameworks() as frameworks, pytest.raises(ResourceError, match=r"not imported within 0\.1 s"):
        frameworks.ask(time.sleep, 60)


def test_no_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with Frameworks() as frameworks, pytest.raises(ResourceError, match="no process could be started"):
        frameworks.ask(apart_work.shout, 1)
