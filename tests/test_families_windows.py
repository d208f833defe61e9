"""Layers with a sliding window: right as long as everything fits into the window, refused where it does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from events import answer, answer_about
from tiny_families import LAYERS, QUESTION, clip, folder, inputs, loaded
from tiny_model import assert_close, assert_far, everything, explicit_mask_logits, recorded_logits

from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.errors import ModelError, UsageError
from sharpv_cli.models.capture import VisualPrompt, capture
from sharpv_cli.models.layers import FULL, SLIDING, layer_kinds
from sharpv_cli.models.loading import LoadedModel, load
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.prompts import SharedPrompts
from sharpv_cli.session import Session
from sharpv_cli.settings import ModelSettings, Settings
from sharpv_cli.types import Answer, Finished
from sharpv_cli.video.frames import Frames

NEW = 8
KINDS = ["full_attention", "sliding_attention", "full_attention"]
OFF = {"visual": {"mode": "off"}, "memory": {"enabled": False}}
attention = pytest.mark.parametrize("attention", ["sdpa", "eager"])


@cache
def whole(attention: str = "sdpa") -> VisualPrompt:
    """The prompt, which does not depend on the language model."""
    model = loaded("llava_onevision", attention)
    return capture(model.model, inputs(model), model.family)


@pytest.fixture(scope="module", autouse=True)
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    Windowed.folder = tmp_path_factory.mktemp("windows")
    yield
    Windowed.load.cache_clear()


class Windowed:
    """LLaVA-OneVision on Qwen2, whose second layer has a window."""

    folder: Path

    @staticmethod
    def path(window: int | None) -> Path:
        target = Windowed.folder / str(window)
        if not target.exists():
            shutil.copytree(folder("llava_onevision"), target)
            config = json.loads((target / "config.json").read_text())
            use = {"use_sliding_window": window is not None, "sliding_window": window}
            config["text_config"] |= {"layer_types": KINDS, **use}
            (target / "config.json").write_text(json.dumps(config))
        return target

    @staticmethod
    @cache
    def load(window: int, attention: str = "sdpa") -> LoadedModel:
        return load(
            ModelSettings.model_validate({"id": str(Windowed.path(window)), "attention": attention}), "cpu"
        )


def enough() -> int:
    """The smallest window for the whole prompt and its answer, whose last token is never read."""
    return len(whole()) + NEW - 1


def clip_of(model: LoadedModel, **groups: Any) -> Clip:
    settings = Settings.model_validate({"model": {"id": model.info.id}, "device": "cpu"} | groups)
    return Clip(Session.of(model), Frames(*clip()), settings, new_tokens=NEW)


def answered(of: Clip) -> Answer:
    events = answer(of.session, of.info, of.sample, QUESTION, of.settings, new_tokens=of.new_tokens)
    last = list(events)[-1]
    assert isinstance(last, Finished)
    return last.answer


@attention
@pytest.mark.parametrize("spare", [0, 1])
def test_without_pruning_it_is_stock_generate(attention: str, spare: int) -> None:
    """Bit for bit where there is room for one more; a window that is just full gets a mask from stock."""
    model = Windowed.load(enough() + spare, attention)
    prompt = inputs(model)
    stock = model.model.generate(
        **prompt, max_new_tokens=NEW, do_sample=False, return_dict_in_generate=True, output_logits=True
    )

    with recorded_logits(model) as rows:
        read = ReferenceEngine(model.model).prefill(whole(attention).prune(everything(whole())), m=None)
        ids = list(ReferenceEngine(model.model).decode(read, max_new_tokens=NEW, stop_ids=()))

    assert ids == stock.sequences[0, prompt["input_ids"].shape[1] :].tolist()
    got, want = torch.stack(rows), torch.cat(stock.logits)
    assert_close(got, want)
    assert torch.equal(got[:-1] if spare == 0 else got, want[:-1] if spare == 0 else want)
    assert answered(clip_of(model, **OFF)).generated_tokens == NEW


@attention
def test_memory_sharpv_prunes_layers_of_full_attention_only(attention: str) -> None:
    model = Windowed.load(enough(), attention)
    keep = torch.arange(whole().slots.numel()).view_as(whole().slots) % 3 == 0
    prompt, full = whole(attention).prune(keep), whole(attention).prune(everything(whole()))

    with recorded_logits(model) as rows:
        read = ReferenceEngine(model.model).prefill(prompt, m=1.1)
        ids = list(ReferenceEngine(model.model).decode(read, max_new_tokens=NEW, stop_ids=()))

    assert layer_kinds(model.model.config.get_text_config()) == (FULL, SLIDING, FULL)
    assert read.discarded == {0, 2}
    assert [similarity is None for similarity in read.similarities] == [False, True, False]
    got, gone = torch.stack(rows), whole().slots[~keep]
    masks = {"hidden_from_all": gone, "blind_layers": read.discarded}
    assert_close(got, explicit_mask_logits(model, full, ids, **masks))
    everywhere = explicit_mask_logits(model, full, ids, hidden_from_all=gone, blind_layers=range(LAYERS))
    assert_far(got[1:], everywhere[1:])


def test_what_does_not_fit_the_window_is_refused_with_its_numbers() -> None:
    """Pruned, the same clip fits."""
    model = Windowed.load(enough() - 1)

    with pytest.raises(
        UsageError, match=f"{len(whole())} tokens of prompt and up to {NEW} .* window of {enough() - 1}"
    ):
        answered(clip_of(model, **OFF))

    pruned = answered(clip_of(model, memory={"m": 1.0}))
    assert pruned.visual_kept < pruned.visual_total
    assert [layer.visual_kv_kept for layer in pruned.layers] == [False, True, False]
    assert [layer.similarity is None for layer in pruned.layers] == [False, True, False]
    assert f"a window of {enough() - 1} tokens only: 1; prompt" in " ".join(pruned.warnings)


def test_past_the_window_the_engine_would_be_wrong() -> None:
    """Why it is refused: discarding moves entries, and a window goes by their number."""
    small, large = Windowed.load(40), Windowed.load(enough())
    prompt = whole().prune(everything(whole()))

    logits = [ReferenceEngine(model.model).prefill(prompt, m=None).logits for model in (small, large)]

    assert_far(*logits)


def test_several_questions_get_the_answers_that_they_get_alone() -> None:
    of = clip_of(Windowed.load(enough() + 40), memory={"m": 1.0})
    video = SharedPrompts(of)
    for _ in range(2):
        last = list(answer_about(video, QUESTION))[-1]

        assert isinstance(last, Finished)
        assert last.answer.memory.shared_prefix_bytes is not None
        assert last.answer.text == answered(of).text
        assert [layer.visual_kv_kept for layer in last.answer.layers] == [False, True, False]


def test_a_window_of_unknown_size_is_refused() -> None:
    with pytest.raises(ModelError, match="does not say how large"):
        load(ModelSettings.model_validate({"id": str(Windowed.path(None))}), "cpu")
