"""Answers that are one of some choices: how they are written, which one decides, and what is told of each."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from family_answers import clip_of
from tiny_families import QUESTION, RECIPES, inputs, loaded

from sharpv_cli import Sharpv, UsageError
from sharpv_cli.engine.engine import Continuation, Engine
from sharpv_cli.models.answers import answer_ids
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.frames import decode_whole
from sharpv_cli.pipeline.prompts import Prompts
from sharpv_cli.pipeline.question import answer, whole_answer
from sharpv_cli.report.document import ask_document
from sharpv_cli.session import open_session
from sharpv_cli.settings import Settings
from sharpv_cli.shapes.demo import write_demo
from sharpv_cli.types import ANY_TEXT, YES_OR_NO, Answer, Form

DENSE: dict[str, Any] = {"visual": {"mode": "off"}, "memory": {"enabled": False}}
ASKED = "Which direction does the red circle move?"


def chosen(family: str, form: Form, **groups: Any) -> Answer:
    return whole_answer(answer(Prompts(clip_of(family, **groups)), QUESTION, last=True, form=form))


@pytest.mark.parametrize("family", RECIPES)
def test_probabilities_are_those_of_stock(family: str) -> None:
    """Over the choices, of their whole texts, as the stock model alone has them behind the processor's prompt."""
    texts = ("up", "a box", "a bag")
    got = chosen(family, Form(choices=texts), **DENSE)

    model, given = loaded(family), inputs(loaded(family))
    logs = [by_stock(family, answer_ids(model, given["input_ids"], text)) for text in texts]
    odds = [math.exp(sum(each)) for each in logs]
    by_length = [math.exp(sum(each) / len(each)) for each in logs]
    assert [c.logprob for c in got.choices] == pytest.approx([sum(each) for each in logs], abs=1e-3)
    assert [math.exp(c.logprob) for c in got.choices] == pytest.approx(odds, abs=1e-5)
    assert [c.probability for c in got.choices] == pytest.approx([p / sum(odds) for p in odds], abs=1e-5)
    assert [c.probability_by_length for c in got.choices] == pytest.approx(
        [p / sum(by_length) for p in by_length], abs=1e-5
    )
    assert got.text == max(got.choices, key=lambda choice: choice.probability).text


@torch.no_grad()
def by_stock(family: str, ids: tuple[int, ...]) -> list[float]:
    given, model = inputs(loaded(family)), loaded(family).model
    length = given["input_ids"].shape[1]
    for name, value in given.items():
        if value.shape[:2] == (1, length):
            more = torch.tensor([ids]) if name == "input_ids" else value[:, -1:].expand(-1, len(ids))
            given[name] = torch.cat([value, more], dim=1)
    odds = torch.log_softmax(model(**given).logits[0, length - 1 : -1].double(), dim=-1)
    return [float(odds[place, token_id]) for place, token_id in enumerate(ids)]


def test_an_answer_is_written_as_the_template_has_it() -> None:
    """Behind `ASSISTANT:` a word begins with a space, in a line of its own it does not."""
    for family, first in (("video_llava", " "), ("llava_onevision", "")):
        model = loaded(family)
        ids = answer_ids(model, inputs(model)["input_ids"], "a box")
        assert model.tokenizer.decode(ids) == f"{first}a box"
    with pytest.raises(UsageError, match=r"cannot write the choice '<\|im_end\|>'"):
        answer_ids(model, inputs(model)["input_ids"], "<|im_end|>")


def scores(monkeypatch: pytest.MonkeyPatch, by_text: dict[tuple[str, bool], list[float]]) -> None:
    """Have an engine say so of these texts, each with whether the answer has to end behind it."""
    decode = loaded("llava_onevision").tokenizer.decode

    def score(
        _self: Engine, _start: object, answers: list[Continuation], _stop_ids: object
    ) -> list[list[float]]:
        return [by_text[decode(one.ids), one.ends] for one in answers]

    monkeypatch.setattr(Engine, "score", score)


def test_whole_texts_decide_and_not_the_mean_of_their_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    scores(monkeypatch, {("up", False): [-1.0, -1.0], ("left", False): [-0.6] * 4})
    got = chosen("llava_onevision", Form(choices=("left", "up"), logprobs=True))
    left, up = got.choices
    assert up.probability > left.probability
    assert left.probability_by_length > up.probability_by_length
    assert got.text == "up"
    assert (got.generated_tokens, got.finish_reason) == (2, "stop")
    assert [token.text for token in got.logprobs or ()] == ["u", "p"]
    assert up.probability == pytest.approx(math.exp(-2.0) / (math.exp(-2.0) + math.exp(-2.4)))


def test_the_end_counts_where_one_choice_begins_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a longer one could never be likelier than what it begins with."""
    scores(
        monkeypatch,
        {
            ("up", True): [-0.1, -0.1, -3.0],
            ("upon", False): [-0.1, -0.1, -0.5, -0.1],
            ("no", False): [-9.0, 0],
        },
    )
    got = chosen("llava_onevision", Form(choices=("up", "upon", "no")))
    assert got.text == "upon"
    assert got.choices[0].logprob == pytest.approx(-3.2)


def test_yes_counts_in_either_case(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = {("yes", False): [-3.0], ("Yes", False): [-1.0], ("no", False): [-2.0], ("No", False): [-2.5]}
    scores(monkeypatch, logs)
    got = chosen("llava_onevision", YES_OR_NO)
    yes, no = math.exp(-3) + math.exp(-1), math.exp(-2) + math.exp(-2.5)
    assert got.text == "yes"
    assert [c.probability for c in got.choices] == pytest.approx([yes / (yes + no), no / (yes + no)])


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_choices_of_one_token_are_read_off_the_prompt(engine: str, tmp_path: Path) -> None:
    """Words that the model would have to spell, as the built-in one "Yes", cost no further pass."""
    write_demo(tmp_path)
    settings = Settings.model_validate({"device": "cpu", "engine": engine})
    session = open_session(settings)
    passes = []
    session.loaded.model.get_output_embeddings().register_forward_hook(lambda *_: passes.append(1))
    clip = Clip(session, decode_whole(tmp_path / "moving.mp4", settings), settings)
    for form, expected in (
        (YES_OR_NO, 1),
        (Form(choices=("no", "yes", "left")), 1),
        (Form(choices=("yes", "yes, it is")), 4 if engine == "reference" else 2),
        (ANY_TEXT, 2),  # one word, and the token that ends it
    ):
        passes.clear()
        got = whole_answer(answer(Prompts(clip), "Is there a red circle?", form=form))
        assert (len(passes), got.text) == (expected, "yes")


def test_a_choice_that_no_answer_has_room_for_is_refused() -> None:
    with pytest.raises(
        UsageError, match="the choice 'nothing at all' has 14 tokens, and an answer has at most 6"
    ):
        chosen("llava_onevision", Form(choices=("up", "nothing at all")))


def test_the_document_tells_all_of_it(tmp_path: Path) -> None:
    write_demo(tmp_path)
    with Sharpv(device="cpu") as model:
        got = model.ask(tmp_path / "moving.mp4", ASKED, choices=["right", "left"], logprobs=True)
        open_answer = model.ask(tmp_path / "moving.mp4", "Describe the video.", logprobs=True)
        plain = model.ask(tmp_path / "moving.mp4", "Describe the video.")
    document = ask_document(got, {})
    assert document["answer"] == "left"
    right, left = document["choices"]  # type: ignore[misc]
    assert (right["text"], left["text"]) == ("right", "left")
    assert right["probability"] + left["probability"] == pytest.approx(1)
    assert left["probability"] > 0.99

    told: Any = ask_document(open_answer, {})["logprobs"]
    logs = [token["logprob"] for token in told["tokens"]]
    assert len(logs) == open_answer.generated_tokens > 5
    assert all(value <= 0 for value in logs)
    assert told["sum"] == pytest.approx(sum(logs))
    assert told["mean"] == pytest.approx(sum(logs) / len(logs))
    assert "".join(token["text"] for token in told["tokens"]).strip() == open_answer.text == plain.text
    assert ask_document(plain, {})["logprobs"] is ask_document(plain, {})["choices"] is None
