"""The shipped profiles and what is stored about their models, against figures that were published or worked out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sharpv_cli.models.dimensions import language_model
from sharpv_cli.models.estimate import kv_cache_bytes
from sharpv_cli.models.families import FAMILIES
from sharpv_cli.models.known import FACTS_FOLDER, KnownModel, known, shipped
from sharpv_cli.settings import ModelSettings, Settings, profile_paths, resolve


@dataclass(frozen=True)
class Published:
    """Billions of parameters, layers, query and KV heads, head size, context, and a slot's grid at 448 x 448.

    `slots` are what 8 frames make.
    """

    billions: float
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    grid: tuple[int, int]
    slots: int = 8


PUBLISHED = {
    "llava-ov-0.5b": Published(0.89, 24, 14, 2, 64, 32768, (14, 14)),
    "llava-ov-7b": Published(8.03, 28, 28, 4, 128, 32768, (14, 14)),
    "llava-next-video-7b": Published(7.06, 32, 32, 32, 128, 10240, (12, 12)),  # 4096, stretched 2.5 times
    "video-llava-7b": Published(7.37, 32, 32, 32, 128, 4096, (16, 16)),
    "qwen2.5-vl-3b": Published(3.75, 36, 16, 2, 128, 128000, (16, 16), slots=4),
    "qwen2.5-vl-7b": Published(8.29, 28, 28, 4, 128, 128000, (16, 16), slots=4),
    "qwen3-vl-4b": Published(4.44, 36, 32, 8, 128, 262144, (14, 14), slots=4),
    "qwen3-vl-8b": Published(8.77, 36, 32, 8, 128, 262144, (14, 14), slots=4),
    "internvl3-8b": Published(7.94, 28, 28, 4, 128, 32768, (16, 16)),
    "smolvlm2-2.2b": Published(2.25, 24, 32, 32, 64, 8192, (9, 9)),
    "videollama3-7b": Published(8.04, 28, 28, 4, 128, 32768, (16, 16)),
    "perception-lm-3b": Published(3.52, 28, 24, 8, 128, 11520, (16, 16)),
}


def settings_of(name: str) -> Settings:
    return resolve({}, {}, profile=name).settings


@pytest.fixture(scope="module")
def models() -> dict[str, KnownModel]:
    """As on a machine without any of them."""
    return {name: known(ModelSettings(id=settings_of(name).model.id)) for name in PUBLISHED}


@pytest.fixture(autouse=True, scope="module")
def empty_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    from huggingface_hub import constants

    patch = pytest.MonkeyPatch()
    patch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
    yield
    patch.undo()


def test_every_profile_has_facts_and_every_fact_a_profile() -> None:
    ids = {settings_of(name).model.id for name in profile_paths({})}
    assert ids == {"builtin", *shipped()}
    assert set(profile_paths({})) == {"tiny", *PUBLISHED}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_shape_is_the_published_one(models: dict[str, KnownModel], name: str) -> None:
    model, want = models[name], PUBLISHED[name]
    language = language_model(model.config, 2)
    assert model.source == "shipped facts"
    assert model.family is FAMILIES[settings_of(name).model.family or ""]
    assert round(model.parameters / 1e9, 2) == want.billions
    assert (language.layers, language.heads, language.kv_heads) == (want.layers, want.heads, want.kv_heads)
    assert language.head_dim == want.head_dim
    assert model.context == want.context


@pytest.mark.parametrize("name", PUBLISHED)
def test_tokens_a_frame_are_the_published_ones(models: dict[str, KnownModel], name: str) -> None:
    assert models[name].grid(8, 448, 448) == (PUBLISHED[name].slots, *PUBLISHED[name].grid)


@pytest.mark.parametrize("name", PUBLISHED)
def test_kv_bytes_a_token_are_keys_and_values_of_all_layers(models: dict[str, KnownModel], name: str) -> None:
    want = PUBLISHED[name]
    by_hand = 2 * want.layers * want.kv_heads * want.head_dim * 2
    assert kv_cache_bytes(language_model(models[name].config, 2), 1) == by_hand


def test_kv_bytes_in_figures() -> None:
    """Worked out apart from any table, so that a wrong formula in this file shows as well."""
    seven = language_model(known(settings_of("llava-ov-7b").model).config, 2)
    assert kv_cache_bytes(seven, 1) == 57_344
    vicuna = language_model(known(settings_of("video-llava-7b").model).config, 2)
    assert kv_cache_bytes(vicuna, 1) == 524_288


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_frames_of_a_profile_fit_its_context(models: dict[str, KnownModel], name: str) -> None:
    """The most frames that the profile takes, of the largest size that decoding gives; 512 for all else."""
    sampling = settings_of(name).sampling
    frames = sampling.frames if sampling.strategy == "uniform" else sampling.max_frames
    assert frames is not None
    slots, rows, columns = models[name].grid(frames, 1000, 1000)
    assert slots * rows * columns + 512 <= (models[name].context or 0)


@pytest.mark.parametrize("path", sorted(FACTS_FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_facts_say_where_they_come_from(path: object) -> None:
    assert hasattr(path, "read_text")
    facts = json.loads(path.read_text(encoding="utf-8"))
    assert path.stem == facts["id"].replace("/", "--")
    assert facts["source"]
    assert facts["as_of"]
    assert facts["parameters_from"]
    for dotted in facts["unchecked"]:
        part = facts if dotted.startswith("video_processor") else facts["config"]
        for key in dotted.split("."):
            part = part[key]


def test_the_built_in_model_is_known_from_its_folder() -> None:
    model = known(ModelSettings(id="builtin"))
    assert (model.source, model.grid(8, 240, 320), model.family.model_type) == (
        "folder", (8, 8, 8), "llava_onevision",
    )  # fmt: skip
