"""Every prompt is the one that the processor's own `apply_chat_template` makes, whatever its template does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from templates import SHARED, TEMPLATES, beginning, templated
from tiny_families import RECIPES, clip

from sharpv_cli.models.capture import capture
from sharpv_cli.models.chat import Chat
from sharpv_cli.models.common import common_of
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.models.prompting import build_inputs, metadata_of, whole_slots
from sharpv_cli.models.wording import inputs_and_wordings, wordings_of_long
from sharpv_cli.settings import PromptSettings

QUESTIONS = ("What is shown?", "  How many boxes are there, and where do they go at the end? ", "ß 日本")
TIMES = (0.0, 0.5, 3.0, 61.5)
PLAIN = PromptSettings()


@pytest.fixture(scope="module", params=RECIPES)
def model(request: pytest.FixtureRequest) -> Iterator[LoadedModel]:
    return beginning(request.param)


def stock_tokens(model: LoadedModel, question: str) -> torch.Tensor:
    """`apply_chat_template(tokenize=True)` of the processor, with the video among what is said."""
    info, sample = clip(TIMES)
    images, metadata = whole_slots(model, sample.images, metadata_of(info, sample))
    turns = Chat(None, question).turns
    turns[0]["content"][0]["video"] = images
    told = model.processor.apply_chat_template(
        turns,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={
            "video_metadata": [[metadata]],
            "do_sample_frames": False,
            "num_frames": None,
            "fps": None,
            **model.family.processor_options,
        },
    )
    ids: torch.Tensor = told["input_ids"]
    return ids


@pytest.mark.parametrize("kind", TEMPLATES)
def test_tokens_are_those_of_the_processors_own_chat(model: LoadedModel, kind: str) -> None:
    info, sample = clip(TIMES)
    with templated(model, TEMPLATES[kind]):
        want = [stock_tokens(model, question) for question in QUESTIONS]

        alone = [build_inputs(model, info, sample, question, PLAIN)["input_ids"] for question in QUESTIONS]
        first, wordings = inputs_and_wordings(model, info, sample, QUESTIONS[0], PLAIN)
        others = [wordings.of(question).ids for question in QUESTIONS]
        common = common_of(capture(model.model, first, model.family))
        shared = [common.ask(model, ids) if common else None for ids in others]

    for number in range(len(QUESTIONS)):
        assert torch.equal(alone[number], want[number])
        assert torch.equal(others[number], want[number])
        if (prompt := shared[number]) is not None:
            assert torch.equal(prompt[0].input_ids, want[number])
    if kind in SHARED:
        assert None not in shared
    elif model.info.family != "smolvlm":  # for videos its processor has a template of its own
        assert shared[1] is None


@pytest.mark.parametrize("kind", TEMPLATES)
def test_tokens_of_a_long_clip_are_the_same(model: LoadedModel, kind: str) -> None:
    if model.family.positions == "mrope":
        pytest.skip("its clips do not come in chunks")
    info, sample = clip(TIMES)
    with templated(model, TEMPLATES[kind]):
        wordings = wordings_of_long(model, info, sample, sample.size, PLAIN)
        for question in QUESTIONS[1:]:
            assert torch.equal(wordings.of(question).ids, stock_tokens(model, question))
