"""All that decides the visual part is in its key: a changed setting misses, and one that is left out is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from seen_clips import SeenVideo, seen_video
from tiny_model import session

from sharpv_cli.seen import key as key_module
from sharpv_cli.seen.key import Maker, VisualKey, software
from sharpv_cli.settings import Settings, defaults
from sharpv_cli.settings.dotted import nest
from sharpv_cli.types import Answer

# Another value of every setting. What is not in the key is in the second table, with the reason.
CHANGED: dict[str, Any] = {
    "sampling.strategy": "fps",
    "sampling.frames": 5,
    "sampling.fps": 2.0,
    "sampling.max_frames": 3,
    "sampling.start": 0.2,
    "sampling.end": 0.7,
    "sampling.at": "0.2,0.7",
    "video.picture": True,
    "video.max_pixels": 1_000_000,
    "visual.mode": "manual",
    "visual.w": 0.5,
    "visual.k": 1.0,
    "visual.min_tokens": 2,
}
LEFT_OUT: dict[str, str] = {
    "model.id": "the checkpoint's identity tells its content, whatever it is called",
    "model.revision": "the same",
    "model.family": "the same",
    "model.dtype": "the one that was chosen is the maker's",
    "model.attention": "the same",
    "device": "the same",
    "engine": "the same",
    "video.allow_url": "the bytes count, not where they come from",
    "video.max_bytes": "a limit refuses, it changes no frame",
    "video.timeout": "the same",
    "visual.scale": "a smaller one keeps a part; a larger one misses",
    "memory.enabled": "comes after the visual part",
    "memory.m": "the same",
    "generation.max_new_tokens": "the same; where the context was too small, more room misses",
    "generation.temperature": "the same",
    "generation.stop": "the same",
    "generation.seed": "the same",
    "prompt.system": "words around the video",
    "prompt.prefix": "the same",
    "prompt.suffix": "the same",
    "prompt.subtitles": "the same: they are text, read anew for each prompt",
    "prompt.max_subtitle_tokens": "the same",
    "positions": "given to the tokens that are kept",
    "offline": "where files come from",
    "memory_check": "refuses, changes nothing",
    "keep_warm": "how long a process stays",
    "stream": "how it is printed",
    "seen": "what this is about",
    "seen_max_bytes": "the same",
}


def changed(setting: str, value: Any) -> Settings:
    return Settings.model_validate(nest({**defaults(), setting: value}))


def test_every_setting_is_in_the_key_or_named_here() -> None:
    """A setting that is added is in the key by itself; who leaves it out has to say why."""
    assert {*CHANGED} | {*LEFT_OUT} == {*defaults()}
    assert not {*CHANGED} & {*LEFT_OUT}


@pytest.mark.parametrize("setting", CHANGED)
def test_another_value_is_another_key(setting: str) -> None:
    before, after = (VisualKey.of("0" * 64, one) for one in (Settings(), changed(setting, CHANGED[setting])))
    assert before.name != after.name


@pytest.mark.parametrize("part", ["video", "checkpoint", "settings", "software"])
def test_each_part_of_the_key_is_in_its_name(part: str) -> None:
    parts = {"video": "a", "checkpoint": "b", "settings": "c", "software": "d"}
    assert VisualKey(**parts).name != VisualKey(**{**parts, part: "e"}).name


@pytest.mark.parametrize("part", ["dtype", "device", "attention", "engine"])
def test_each_part_of_the_maker_is_in_its_name(part: str) -> None:
    parts = {"dtype": "a", "device": "b", "attention": "c", "engine": "d"}
    assert Maker(**parts).name != Maker(**{**parts, part: "e"}).name


def test_engine_attention_and_device_make_another_maker() -> None:
    makers = {
        Maker.of(session("fast", "sdpa")),
        Maker.of(session("reference", "sdpa")),
        Maker.of(session("reference", "eager")),
    }
    assert len(makers) == 3
    assert all(maker.device.startswith("cpu ") for maker in makers)


def test_software_has_all_that_decodes_prepares_and_encodes(monkeypatch: pytest.MonkeyPatch) -> None:
    told = json.loads(software())
    assert {"sharpv", "code", "av", "torch", "torchvision", "transformers", "pillow"} <= {*told}
    before = VisualKey.of("0" * 64, Settings())
    monkeypatch.setattr(key_module, "software", lambda: json.dumps({**told, "torch": "99"}))
    assert VisualKey.of("0" * 64, Settings()).name != before.name
    assert json.loads(before.settings)["sampling"]["frames"] == 32


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seen_video(tmp_path_factory.mktemp("clips") / "clip.mp4")


@pytest.fixture
def video(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SeenVideo:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return SeenVideo(clip)


@pytest.mark.parametrize("setting", CHANGED)
def test_a_changed_setting_is_looked_at_anew_and_answered_as_without_the_store(
    video: SeenVideo, setting: str
) -> None:
    first = video.ask()
    again = video.ask()
    assert (first.seen, again.seen) == (False, True)
    other = {setting: CHANGED[setting]}
    got = video.ask(**other)
    assert not got.seen
    assert same(got, video.ask(seen="off", **other))
    assert video.ask(**other).seen


def test_a_larger_scale_misses_and_takes_the_place(video: SeenVideo) -> None:
    video.ask(**{"visual.scale": 0.5})
    assert video.ask(**{"visual.scale": 0.3}).seen
    larger = video.ask(**{"visual.scale": 0.9})
    assert not larger.seen
    small = video.ask(**{"visual.scale": 0.5})
    assert small.seen
    assert same(small, video.ask(seen="off", **{"visual.scale": 0.5}))
    assert len(list(video.folder.glob("*.seen"))) == 1


def same(one: Answer, other: Answer) -> bool:
    return (one.text, one.token_ids, one.layers, one.keep.tolist()) == (
        other.text,
        other.token_ids,
        other.layers,
        other.keep.tolist(),
    )
