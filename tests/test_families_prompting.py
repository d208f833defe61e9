"""What the processors are told of a clip: true times, also where the frame rate varies, and no placeholders."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from tiny_families import QUESTION, RECIPES, clip, inputs, loaded

from sharpv_cli.errors import ModelError, UsageError, VideoError
from sharpv_cli.models.capture import VisualPrompt, capture
from sharpv_cli.models.chat import render
from sharpv_cli.models.families import FAMILIES
from sharpv_cli.models.prompting import build_inputs
from sharpv_cli.pipeline.selecting import select
from sharpv_cli.settings import PromptSettings
from sharpv_cli.settings.schema import VisualSettings

# Frames that come in bursts, as a phone's do in the dark: the average rate would put each elsewhere.
UNEVEN = (0.0, 0.1, 0.2, 3.0, 61.5, 61.6, 80.0)
each = pytest.mark.parametrize("family", RECIPES)


def prompt_text(family: str, times: tuple[float, ...]) -> str:
    model = loaded(family)
    return str(model.tokenizer.decode(inputs(model, times=times)["input_ids"][0]))


def test_qwen3_vl_reads_the_true_middle_of_each_pair_of_frames() -> None:
    text = prompt_text("qwen3_vl", UNEVEN)

    # (0 + 0.1) / 2, (0.2 + 3) / 2, (61.5 + 61.6) / 2, and the last frame twice
    assert [float(s) for s in re.findall(r"<([\d.]+) seconds>", text)] == pytest.approx(
        [0.05, 1.6, 61.55, 80.0], abs=0.051
    )


def test_smolvlm_reads_true_minutes_and_seconds_and_the_duration() -> None:
    text = prompt_text("smolvlm", UNEVEN)

    stamps = ["00:00", "00:00", "00:00", "00:03", "01:01", "01:01", "01:20"]
    assert re.findall(r"Frame from (\d\d:\d\d):", text) == stamps
    assert "seven frames from a 0:01:20 [H:MM:SS] video" in text


def test_smolvlm_does_not_read_a_whole_second_as_the_one_before() -> None:
    text = prompt_text("smolvlm", (0.0, 0.9999999, 30 / 29.97))

    assert re.findall(r"Frame from (\d\d:\d\d):", text) == ["00:00", "00:01", "00:01"]


def test_video_llama_3_reads_true_times() -> None:
    text = prompt_text("video_llama_3", UNEVEN)

    assert [float(s) for s in re.findall(r"Time ([\d.]+)s:", text)] == pytest.approx(UNEVEN)


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        (tuple(t / 2 for t in range(8)), 1.0),  # two frames half a second apart
        (UNEVEN, 2 * 80 / 6),  # seven frames span 80 s: 80 / 6 apart in the mean
        (tuple(100 + t / 4 for t in range(5)), 0.5),  # a part of a long video
    ],
)
def test_qwen2_5_vl_is_told_the_mean_time_of_a_pair_of_frames(
    times: tuple[float, ...], seconds: float
) -> None:
    told = inputs(loaded("qwen2_5_vl"), times=times)["second_per_grid_ts"]

    assert float(told[0]) == pytest.approx(seconds, rel=1e-4)


@each
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_few_frames_are_taken_even_by_families_that_merge_pairs(family: str, frames: int) -> None:
    model = loaded(family)

    whole = capture(model.model, inputs(model, times=UNEVEN[:frames]), model.family)

    assert len(whole.slots) == -(-frames // model.family.frames_per_slot)
    assert torch.isfinite(whole.embeds).all()


@each
def test_the_whole_prompt_holds_the_question_once(family: str) -> None:
    assert prompt_text(family, UNEVEN).count(QUESTION) == 1


@each
def test_no_word_that_stands_for_pictures_is_taken_from_a_user(family: str) -> None:
    model, recipe = loaded(family), RECIPES[family]

    for word in recipe.tokens.values():
        with pytest.raises(UsageError, match=re.escape(word)):
            render(model, f"What is {word}?", PromptSettings())
        with pytest.raises(UsageError, match="system prompt"):
            render(model, QUESTION, PromptSettings(system=f"Be {word}"))


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_vl", "video_llama_3"])
def test_frames_of_a_shape_that_the_processor_refuses_are_a_video_error(family: str) -> None:
    with pytest.raises(VideoError, match="2000 x 6"):
        build_inputs(loaded(family), *clip((0.0, 0.5), height=6, width=2000), QUESTION, PromptSettings())


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_vl", "video_llama_3"])
def test_the_memory_check_blames_the_same(family: str) -> None:
    """It counts tokens before the processor sees the frames."""
    with pytest.raises(VideoError, match="2000 x 6") as caught:
        loaded(family).known.grid(2, 6, 2000)

    assert "more usual shape" in str(caught.value.hint)


@each
def test_a_processor_that_takes_no_frames_at_all_is_to_blame_itself(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded(family)

    def refuse(*_: object, **_options: object) -> None:
        raise KeyError("shortest_edge")

    monkeypatch.setattr(type(model.processor.video_processor), "__call__", refuse)
    with pytest.raises(
        ModelError, match="its processor cannot be used: 'shortest_edge' is missing"
    ) as caught:
        build_inputs(model, *clip(), QUESTION, PromptSettings())
    assert model.info.id in str(caught.value)
    assert caught.value.hint


def test_video_llama_3_keeps_whole_frames() -> None:
    model = loaded("video_llama_3")
    info, sample = clip(tuple(t / 2 for t in range(4)))
    still = sample.images[:1].repeat(4, axis=0)
    sample = type(sample)(sample.strategy, still, sample.indices, sample.timestamps_sec)

    prompt = build_inputs(model, info, sample, QUESTION, PromptSettings())

    assert prompt["video_compression_mask"].all()
    assert len(capture(model.model, prompt, model.family).slots) == 4


MROPE = [name for name, family in FAMILIES.items() if family.positions == "mrope"]


@each
def test_the_kind_of_positions_is_the_tables(family: str) -> None:
    model = loaded(family)

    whole = capture(model.model, inputs(model), model.family)

    assert whole.mrope == (FAMILIES[family].positions == "mrope")
    assert whole.position_ids.shape == ((3, 1, len(whole)) if whole.mrope else (1, len(whole)))


@pytest.mark.parametrize("family", MROPE)
def test_m_rope_has_no_contiguous_positions(family: str) -> None:
    model = loaded(family)
    whole = capture(model.model, inputs(model), model.family)
    room = {"context": None, "max_new_tokens": 4}

    with pytest.raises(UsageError, match="M-RoPE") as refused:
        select(whole, VisualSettings(), positions="contiguous", **room)

    assert "original" in str(refused.value.hint)
    assert not select(whole, VisualSettings(), positions="original", **room).contiguous


def test_a_long_clip_with_m_rope_keeps_its_positions_and_says_so() -> None:
    model = loaded("qwen2_5_vl")
    whole = capture(model.model, inputs(model, times=UNEVEN), model.family)
    last = int(whole.position_ids.max())
    assert last > int(whole.position_ids[..., -1].max()) + 8  # the last frames stand past the text

    fits = select(whole, VisualSettings(), positions="original", context=last + 1, max_new_tokens=4)
    over = select(whole, VisualSettings(), positions="original", context=last, max_new_tokens=4)

    assert fits.warnings == ()
    assert not over.contiguous
    assert f"would reach {last + 1}, past the model's context of {last}" in over.warnings[0]
    assert torch.equal(over.keep, fits.keep)


def test_where_kept_tokens_do_not_fit_m_rope_lowers_the_scale() -> None:
    model = loaded("qwen2_5_vl")
    whole = capture(model.model, inputs(model, times=UNEVEN), model.family)
    dense = select(whole, VisualSettings(), positions="original", context=None, max_new_tokens=4)
    context = whole.text_tokens + 3 + int(dense.keep.sum()) - 1

    tight = select(whole, VisualSettings(), positions="original", context=context, max_new_tokens=4)

    assert int(tight.keep.sum()) < int(dense.keep.sum())
    assert "scale was lowered" in " ".join(tight.warnings)


def test_frames_that_m_rope_does_not_tell_apart_are_said() -> None:
    """Old versions do that to Qwen2.5-VL where pairs of frames are less than a second apart."""
    model = loaded("qwen2_5_vl")
    whole = capture(model.model, inputs(model), model.family)
    still = whole.position_ids.clone()
    still[0, 0, whole.slots] = int(still[0, 0, whole.slots[0, 0]])

    def warned(prompt: VisualPrompt) -> bool:
        selection = select(prompt, VisualSettings(), positions="original", context=None, max_new_tokens=4)
        return "same position in time" in " ".join(selection.warnings)

    assert not warned(whole)
    assert warned(replace(whole, position_ids=still))


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl"])
@pytest.mark.parametrize("frames", [2, 7])
def test_text_after_a_video_stands_where_installed_transformers_puts_it(family: str, frames: int) -> None:
    """Right behind the larger side of the frames, however long the clip (docs/decisions.md).

    transformers 4.57 and Qwen's own code went on behind the last frame. When this fails, transformers has
    changed: the answers of these two families have changed with it, and the decision is to be looked at anew.
    """
    model = loaded(family)
    whole = capture(model.model, inputs(model, times=tuple(t / 2 for t in range(frames))), model.family)
    first, last = int(whole.slots.min()), int(whole.slots.max())

    start = whole.position_ids[:, 0, first]
    after = whole.position_ids[:, 0, last + 1]

    assert len(set(start.tolist())) == 1
    assert (after - start).tolist() == [max(whole.grid)] * 3


@pytest.mark.parametrize("family", MROPE)
def test_m_rope_positions_are_time_row_and_column(family: str) -> None:
    model = loaded(family)
    whole = capture(model.model, inputs(model), model.family)
    rows, columns = whole.grid

    at = whole.position_ids[:, 0, whole.slots].view(3, -1, rows, columns)

    assert (at[0] == at[0, :, :1, :1]).all()
    assert (at[1] == at[1, :, :, :1]).all()
    assert (at[1].diff(dim=1) == 1).all()
    assert (at[2] == at[2, :, :1]).all()
    assert (at[2].diff(dim=2) == 1).all()
