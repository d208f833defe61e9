"""Random checkpoints of the shipped models, narrowed to a size that a test can write: all else is as published."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from events import answer
from narrow_models import LAYERS, NARROW
from tiny_families import clip

from sharpv_cli.benchmarks.random_checkpoint import main, write_random_checkpoint
from sharpv_cli.benchmarks.random_processor import RECIPES
from sharpv_cli.errors import UsageError
from sharpv_cli.models.families import FAMILIES
from sharpv_cli.models.known import known, shipped
from sharpv_cli.models.loading import LoadedModel, load
from sharpv_cli.session import Session
from sharpv_cli.settings import ModelSettings, Settings, resolve
from sharpv_cli.types import Answer, Finished

each = pytest.mark.parametrize("profile", NARROW)


@cache
def made(profile: str) -> Path:
    if missing := [name for name in FAMILIES[family(profile)].needs if find_spec(name) is None]:
        pytest.skip(f"needs {missing}")
    folder = Path(tempfile.mkdtemp(prefix="sharpv-random-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_random_checkpoint(profile, folder, changes=NARROW[profile])
    return folder


@cache
def loaded(profile: str) -> LoadedModel:
    return load(ModelSettings.model_validate({"id": str(made(profile))}), "cpu")


@cache
def answered(profile: str) -> Answer:
    settings = Settings.model_validate({"generation": {"max_new_tokens": 6}})
    last = list(answer(Session.of(loaded(profile)), *clip(times=(0.0, 0.5)), "What is shown?", settings))[-1]
    assert isinstance(last, Finished)
    return last.answer


def family(profile: str) -> str:
    return str(facts(profile)["config"]["model_type"])


def facts(profile: str) -> Any:
    return shipped()[resolve({}, {}, profile=profile).settings.model.id]


def test_every_family_that_is_shipped_can_be_made_and_is_tested_here() -> None:
    of_shipped = {one["config"]["model_type"] for one in shipped().values()}

    assert of_shipped <= set(RECIPES)
    assert of_shipped == {family(profile) for profile in NARROW}


@each
def test_a_folder_loads_and_answers_in_words_that_can_be_read(profile: str) -> None:
    result = answered(profile)

    assert result.generated_tokens >= 1
    assert re.search(r"\b([bdfghklmnprstvz][aeiou]){3}\b", result.text)  # the odd one is half a letter
    assert 0 < result.visual_kept < result.visual_total
    # Hidden states leave the embeddings as they go up: finite, and less like them in the last layer.
    similarities = [layer.similarity for layer in result.layers]
    assert len(similarities) == LAYERS
    assert all(s is not None and -1 <= s <= 1 for s in similarities)
    assert similarities[-1] < similarities[0]


@each
def test_the_frames_make_as_many_visual_tokens_as_the_published_checkpoint_makes_of_them(
    profile: str,
) -> None:
    model_id = resolve({}, {}, profile=profile).settings.model.id
    published = known(ModelSettings(id=model_id)).grid(2, *clip()[1].images.shape[1:3])

    slots, rows, columns = published
    assert len(answered(profile).retention) == slots
    assert answered(profile).visual_total == slots * rows * columns


@each
def test_vocabulary_and_special_tokens_are_where_the_published_config_has_them(profile: str) -> None:
    tokenizer, processor = loaded(profile).tokenizer, loaded(profile).processor
    config = known(ModelSettings(id=facts(profile)["id"])).config

    assert len(tokenizer) == config.get_text_config().vocab_size
    assert processor.image_token_id == config.image_token_id
    if hasattr(config, "video_token_id"):
        assert processor.video_token_id == config.video_token_id
    # A made-up word that is said comes back as text; a question keeps its bytes.
    assert tokenizer.decode(tokenizer("naïve 日本?").input_ids) == "naïve 日本?"
    assert tokenizer.decode([len(tokenizer) // 2]).strip().isalpha()


def test_a_seed_decides_the_weights(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        write_random_checkpoint("video-llava-7b", folder, seed=seed, changes=NARROW["video-llava-7b"])

    first, again, other = ((folder / "model.safetensors").read_bytes() for folder in folders)
    assert first == again
    assert first != other


def test_weights_are_bfloat16_and_none_is_infinite() -> None:
    from safetensors.torch import load_file

    weights = load_file(made("llava-ov-7b") / "model.safetensors")

    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert all(weight.isfinite().all() for weight in weights.values())


@pytest.mark.parametrize(("profile", "words"), [("tiny", "tiny"), ("no-such-profile", "no-such-profile")])
def test_a_profile_without_facts_is_refused_by_name(tmp_path: Path, profile: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        write_random_checkpoint(profile, tmp_path / "new")

    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    assert main(["llava-ov-7b", str(tmp_path)]) == 2

    assert str(tmp_path) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
