"""What is captured where the language model starts, and how it is pruned."""

from __future__ import annotations

import pytest
import torch
from tiny_checkpoint import TOKENS_PER_FRAME
from tiny_families import inputs as family_inputs
from tiny_families import loaded as family_loaded
from tiny_model import (
    FRAMES,
    captured,
    everything,
    folder,
    hook_count,
    loaded,
    some,
    stock_inputs,
)
from transformers import AutoConfig
from transformers.activations import GELUTanh

from sharpv_cli.errors import ModelError
from sharpv_cli.models import tower
from sharpv_cli.models.capture import capture
from sharpv_cli.models.families import FAMILIES, family_of
from sharpv_cli.models.tower import quick_tower


def test_slots_hold_the_projected_tokens_of_each_frame() -> None:
    model, whole = loaded().model, captured()
    pixels = stock_inputs(loaded())["pixel_values_videos"]
    with torch.no_grad():
        for t in range(FRAMES):  # the vision tower treats frames apart
            output = model.model.get_video_features(pixels[:, t : t + 1], return_dict=True)
            tokens = output.pooler_output.reshape(-1, whole.features.shape[-1])[:TOKENS_PER_FRAME]
            torch.testing.assert_close(whole.features[t], tokens, rtol=1e-4, atol=1e-5)


def test_every_placeholder_but_the_newline_is_a_slot() -> None:
    model, whole = loaded().model, captured()
    run = (whole.input_ids[0] == model.config.video_token_id).nonzero().flatten()

    assert whole.slots.shape == (FRAMES, TOKENS_PER_FRAME)
    assert whole.slots.flatten().tolist() == run[:-1].tolist()
    assert torch.equal(whole.embeds[0, run[-1]], model.model.image_newline)
    assert whole.text_tokens == len(whole) - FRAMES * TOKENS_PER_FRAME


def test_pruning_takes_out_slots_and_nothing_else() -> None:
    whole = captured()
    keep = some(whole)
    gone = set(whole.slots[~keep].tolist())
    stays = [i for i in range(len(whole)) if i not in gone]

    prompt = whole.prune(keep)

    assert prompt.position_ids[0].tolist() == stays
    assert torch.equal(prompt.embeds[0], whole.embeds[0, stays])
    assert torch.equal(prompt.input_ids[0], whole.input_ids[0, stays])
    assert torch.equal(prompt.embeds[0, prompt.visual], whole.features[keep])
    assert whole.prune(keep, contiguous=True).position_ids[0].tolist() == list(range(len(stays)))


def test_keeping_everything_changes_nothing() -> None:
    whole = captured()

    prompt = whole.prune(everything(whole))

    assert torch.equal(prompt.embeds, whole.embeds)
    assert torch.equal(prompt.position_ids, whole.position_ids)
    assert prompt.visual.tolist() == whole.slots.flatten().tolist()


def test_the_hook_is_gone_after_a_capture_and_after_an_error() -> None:
    model = loaded()
    before = hook_count(model)
    inputs = stock_inputs(model)

    capture(model.model, inputs, model.family)
    assert hook_count(model) == before

    inputs["pixel_values_videos"] = inputs["pixel_values_videos"][:, :, :2]  # two colours
    with pytest.raises(ModelError, match="channels"):
        capture(model.model, inputs, model.family)
    assert hook_count(model) == before


def test_frames_and_placeholders_that_do_not_fit_are_refused_with_numbers() -> None:
    model = loaded()
    inputs = stock_inputs(model)
    inputs["pixel_values_videos"] = inputs["pixel_values_videos"][:, :2]

    with pytest.raises(ModelError, match="97 visual tokens, but 2 frames of 4 x 4 make 33"):
        capture(model.model, inputs, model.family)


def test_an_odd_patch_grid_is_pooled_up_as_in_the_real_checkpoints() -> None:
    config = AutoConfig.from_pretrained(folder())
    config.vision_config.image_size, config.vision_config.patch_size = 384, 14
    ids = torch.full((1, 5 + 2 * 196 + 1), config.video_token_id)
    ids[0, :5] = 7

    layout = FAMILIES["llava_onevision"].layout(
        config, {"input_ids": ids, "pixel_values_videos": torch.empty(1, 2, 3, 8, 8)}
    )

    assert layout.grid == (14, 14)
    assert layout.slots.flatten().tolist() == list(range(5, 5 + 2 * 196))


@pytest.mark.parametrize("model_type", ["gpt2", None])
def test_an_unknown_family_is_refused_with_the_known_ones(model_type: str | None) -> None:
    with pytest.raises(ModelError, match=str(model_type)) as refused:
        family_of(model_type, "some/model")

    assert "llava_onevision" in str(refused.value.hint)


@pytest.mark.parametrize("family", ["llava_onevision", "qwen2_5_vl", "smolvlm"])
def test_onednn_multiplies_as_mkl_does(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sums have another order; fewer than so many rows are left to MKL."""
    model = family_loaded(family)
    given = family_inputs(model)
    plain = capture(model.model, given, model.family)
    taken: list[torch.Tensor] = []
    monkeypatch.setattr(tower, "onednn_is_quicker", lambda: True)
    monkeypatch.setattr(tower, "_MANY_ROWS", 4)
    is_large = tower._is_large
    monkeypatch.setattr(tower, "_is_large", lambda *args: is_large(*args) and not taken.append(args[0]))
    product, done = tower._onednn, set()
    monkeypatch.setattr(tower, "_onednn", lambda *args: done.add(args[3]) or product(*args))
    with quick_tower(model.model), monkeypatch.context() as patch:
        patch.delattr(GELUTanh, "forward")
        quick = capture(model.model, given, model.family)
    assert len(taken) > 8
    assert ("gelu" in done) == (family != "qwen2_5_vl"), "it comes with the product before it"
    assert min(rows.numel() // rows.shape[-1] for rows in taken) >= 4
    torch.testing.assert_close(quick.embeds, plain.embeds, rtol=0, atol=1e-5 * plain.embeds.abs().max())
    taken.clear()
    capture(model.model, given, model.family)
    assert not taken, "it ends with the context"
    monkeypatch.setattr(tower, "_MANY_ROWS", 1 << 30)
    with quick_tower(model.model):
        assert torch.equal(capture(model.model, given, model.family).embeds, plain.embeds)
    assert not any("forward" in vars(module) for module in model.model.modules())
