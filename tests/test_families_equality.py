"""Every family against its stock model: bit for bit without pruning, and against explicit masks with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from events import answer
from family_prompts import NEW, captured, selected, some_layers, stock
from tiny_families import LAYERS, QUESTION, RECIPES, clip, folder, inputs, loaded
from tiny_model import assert_close, assert_far, everything, explicit_mask_logits, hook_count, recorded_logits

from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.models.capture import Prompt, capture
from sharpv_cli.models.common import common_of
from sharpv_cli.models.families import FAMILIES
from sharpv_cli.models.wording import inputs_and_wordings
from sharpv_cli.session import Session
from sharpv_cli.settings import PromptSettings, Settings
from sharpv_cli.types import Answer, Finished, TextPiece

# Stock projects every position of the prompt onto the vocabulary here, and uses the last: another kernel, which
# rounds otherwise. We project the last one only, as stock does for all other families.
HEAD_OVER_ALL = {"video_llama_3"}
each = pytest.mark.parametrize("family", RECIPES)
attention = pytest.mark.parametrize("attention", ["sdpa", "eager"])


def greedy(
    family: str, attention: str, prompt: Prompt, m: float | None
) -> tuple[list[int], torch.Tensor, Any]:
    model = loaded(family, attention)
    with recorded_logits(model) as rows:
        read = ReferenceEngine(model.model).prefill(prompt, m=m)
        ids = list(ReferenceEngine(model.model).decode(read, max_new_tokens=NEW, stop_ids=()))
    return ids, torch.stack(rows), read


def test_every_family_is_tested() -> None:
    assert list(RECIPES) == list(FAMILIES)


@each
@attention
def test_without_pruning_tokens_and_logits_are_those_of_stock_generate(family: str, attention: str) -> None:
    whole = captured(family, attention)
    ids, logits, _ = greedy(family, attention, whole.prune(everything(whole)), None)

    stock_ids, stock_logits = stock(family, attention)

    assert ids == stock_ids
    if family in HEAD_OVER_ALL:
        assert_close(logits, stock_logits)
        _, stock_logits = stock(family, attention, last_only=True)
    assert torch.equal(logits, stock_logits)


@each
@attention
@pytest.mark.parametrize("mode", ["adaptive", "manual"])
def test_pruning_and_eviction_equal_masks_over_the_whole_prompt(
    family: str, attention: str, mode: str
) -> None:
    model, whole = loaded(family, attention), captured(family, attention)
    keep = selected(whole, mode)
    prompt, full = whole.prune(keep), whole.prune(everything(whole))
    m, hooks = some_layers(family, attention, prompt), hook_count(model)

    ids, logits, read = greedy(family, attention, prompt, m)

    assert 0 < len(read.discarded) < LAYERS
    gone = whole.slots[~keep]
    masks = {"hidden_from_all": gone, "blind_layers": read.discarded}
    assert_close(logits, explicit_mask_logits(model, full, ids, **masks))
    # Both checks can fail: without either drop the reference is far away.
    assert_far(logits, explicit_mask_logits(model, full, ids, blind_layers=read.discarded))
    assert_far(logits[1:], explicit_mask_logits(model, full, ids, hidden_from_all=gone)[1:])
    length = len(prompt) + NEW - 1
    kept = [length - len(prompt.visual) * (layer in read.discarded) for layer in range(LAYERS)]
    assert read.cache.lengths == kept
    assert hook_count(model) == hooks


@each
@attention
def test_a_prompt_read_in_two_parts_gives_the_answer_of_one(family: str, attention: str) -> None:
    model, whole = loaded(family, attention), captured(family, attention)
    prompt = whole.prune(selected(whole, "adaptive"))
    m = some_layers(family, attention, prompt)
    ids, logits, read = greedy(family, attention, prompt, m)

    prefix = ReferenceEngine(model.model).read_prefix(prompt, int(prompt.visual.max()) + 1, m=m)
    with recorded_logits(model) as rows:
        on = ReferenceEngine(model.model).read_on(prefix, prompt)
        again = list(ReferenceEngine(model.model).decode(on, max_new_tokens=NEW, stop_ids=()))

    assert again == ids
    assert_close(torch.stack(rows), logits)
    assert on.discarded == read.discarded


@each
def test_another_question_behind_the_same_video_is_the_prompt_that_it_would_have_alone(family: str) -> None:
    model, other = loaded(family), "How many boxes are there, and where do they go?"
    given, wordings = inputs_and_wordings(model, *clip(), QUESTION, PromptSettings())
    common = common_of(capture(model.model, given, model.family))
    assert common is not None
    alone = capture(model.model, inputs(model, other), model.family)

    asked = common.ask(model, wordings.of(other).ids)

    assert asked is not None
    behind, tail = asked
    assert len(other) <= tail < len(alone) - int(alone.slots.max())
    assert torch.equal(behind.input_ids, alone.input_ids)
    assert torch.equal(behind.position_ids, alone.position_ids)
    assert torch.equal(behind.embeds, alone.embeds)
    assert torch.equal(behind.slots, alone.slots)
    assert behind.extra.keys() == alone.extra.keys()
    for name, tensors in alone.extra.items():
        assert all(torch.equal(*pair) for pair in zip(behind.extra[name], tensors, strict=True))


def finished(family: str, attention: str = "sdpa", **groups: Any) -> tuple[Answer, str]:
    """An answer of 24 tokens, and the pieces it came in."""
    settings = Settings.model_validate({"model": {"id": str(folder(family))}, "device": "cpu"} | groups)
    session = Session.of(loaded(family, attention), settings.engine)
    events = list(answer(session, *clip(), QUESTION, settings, new_tokens=24))
    assert isinstance(events[-1], Finished)
    return events[-1].answer, "".join(event.text for event in events if isinstance(event, TextPiece))


@each
@attention
def test_seeded_sampling_repeats_and_the_pieces_join_to_the_text(family: str, attention: str) -> None:
    def sampled(seed: int) -> str:
        done, pieces = finished(family, attention, generation={"temperature": 1.5, "seed": seed})
        assert pieces == done.text != ""
        return done.text

    assert sampled(1) == sampled(1)
    assert len({sampled(seed) for seed in range(3)}) > 1


@each
def test_an_answer_counts_frames_of_the_layout_at_the_time_of_their_first_picture(family: str) -> None:
    done, _ = finished(family)
    whole = captured(family)

    step = 2 if FAMILIES[family].positions == "mrope" else 1
    assert [frame.timestamp_sec for frame in done.retention] == [t / 2 for t in range(0, 7, step)]
    assert done.keep.shape == whole.slots.shape
    assert done.grid == whole.grid
    assert done.text_tokens == whole.text_tokens
    assert 0 < done.visual_kept < done.visual_total == whole.slots.numel()


@each
def test_slots_stand_in_the_prompt_in_raster_order_and_hold_all_tokens_of_frames(family: str) -> None:
    model, whole = loaded(family), captured(family)
    config = model.model.config
    name = "image_token_id" if family in ("internvl", "smolvlm") else "video_token_id"
    places = (whole.input_ids[0] == getattr(config, name)).nonzero().flatten().tolist()
    others = {"llava_onevision": places[-1:], "video_llava": places[:: whole.slots.shape[1] + 1]}.get(
        family, []
    )

    assert whole.slots.flatten().tolist() == [place for place in places if place not in others]
    assert whole.slots.shape[1] == whole.grid[0] * whole.grid[1] > 1
