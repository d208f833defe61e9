"""What training feeds the model must be what the real path feeds it: prompt, features, positions, selection."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AttentionInterface

from sharpv_cli.shapes.questions import sample_question
from sharpv_cli.shapes.world import sample_scene
from sharpv_cli.training import checkpoint, trainee
from sharpv_cli.training.batches import PROMPT_HEAD, Batches, encode, prompt_tail

FRAMES = 3


@pytest.fixture(scope="module")
def parts() -> tuple[Any, Any, Any]:
    tokenizer = checkpoint.train_tokenizer(vocabulary=400, clips=50)
    return tokenizer, checkpoint.build_processor(tokenizer), checkpoint.build_model(tokenizer).eval()


def _inputs(processor: Any, question: str, frames: np.ndarray) -> Any:
    turn = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question}]}
    text = processor.apply_chat_template([turn], add_generation_prompt=True)
    return processor(text=text, videos=[frames], do_sample_frames=False, return_tensors="pt")


def test_training_prompt_is_the_chat_templates(parts: tuple[Any, Any, Any]) -> None:
    tokenizer, processor, _ = parts
    video = tokenizer.token_to_id(checkpoint.VIDEO)
    rng = random.Random(5)
    frames = np.zeros((FRAMES, 32, 48, 3), np.uint8)
    for _ in range(20):
        question = sample_question(sample_scene(rng), rng)
        real = _inputs(processor, question.text, frames)["input_ids"][0].tolist()
        prompt, answer = encode(tokenizer, question)
        visual = FRAMES * checkpoint.TOKENS_PER_FRAME + 1
        assert real == tokenizer.encode(PROMPT_HEAD).ids + [video] * visual + prompt
        assert tokenizer.decode(answer) == question.answer


def test_training_logits_are_the_stock_models(parts: tuple[Any, Any, Any]) -> None:
    """Dense, one question: the trainer's own path through the parts equals the stock forward on the same pixels."""
    tokenizer, processor, model = parts
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, 128, 128, 3), dtype=np.uint8)
    question = "What color is the star?"
    inputs = _inputs(processor, question, frames)
    with torch.no_grad():
        stock = model(**inputs, use_cache=True).logits[0]
    ids = torch.tensor([tokenizer.encode(prompt_tail(question)).ids])
    batch = next(iter(Batches(tokenizer.to_str(), clips=1, frames=FRAMES, text=200, seed="x")))
    batch = replace(
        batch,
        ids=ids,
        offsets=torch.arange(ids.shape[1])[None],
        owner=torch.zeros_like(ids),
        labels=torch.full_like(ids, -100),
    )
    student = trainee.Trainee(model, tokenizer).eval()
    AttentionInterface.register("shapes_split", trainee.split_attention)
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)[None] / 255
    config = model.model.language_model.config
    config._attn_implementation = "shapes_split"
    try:
        with torch.no_grad():
            features = student.features(student.patches(pixels)).flatten(1, 2)
            ours = student.answer(features, None, batch)[0][0]
    finally:
        config._attn_implementation = "sdpa"
    assert torch.allclose(ours, stock[-ids.shape[1] :], atol=1e-4 * float(stock.abs().max()))


def test_the_clock_is_learnt_and_goes_by_original_positions(parts: tuple[Any, Any, Any]) -> None:
    """A few steps halve its loss; kept tokens are told the time that they had before others were dropped."""
    tokenizer, _, _ = parts
    model = checkpoint.build_model(tokenizer)
    student = trainee.Trainee(model, tokenizer)
    AttentionInterface.register("shapes_split", trainee.split_attention)
    model.model.language_model.config._attn_implementation = "shapes_split"
    batch = next(iter(Batches(tokenizer.to_str(), clips=2, frames=32, text=63, seed="x")))
    features = torch.randn(2, 40, 256, generator=torch.Generator().manual_seed(0))
    kept = torch.arange(40).expand(2, -1) * 50
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        clock = student.answer(features, kept, batch)[1]
        optimizer.zero_grad()
        clock.backward()
        optimizer.step()
        losses.append(clock.item())
    assert losses[-1] < losses[0] / 2
    deep = model.model.language_model.layers[-1].self_attn.q_proj.weight
    assert deep.grad is None or not deep.grad.any(), "the layers before use what they are told"
    with torch.no_grad():
        late = student.answer(features, kept // 50, batch)[1]
    assert not torch.allclose(late, clock, rtol=0.02)


def test_packed_questions_do_not_see_each_other(parts: tuple[Any, Any, Any]) -> None:
    """Two questions of two tokens and padding, behind a head of one, two visual tokens and the newline."""
    batch = next(iter(Batches(parts[0].to_str(), clips=1, frames=FRAMES, text=200, seed="x")))
    owner, labels = torch.tensor([[0, 0, 1, 1, -1]]), torch.tensor([[-100, 7, -100, 8, -100]])
    mask = trainee.question_mask(replace(batch, owner=owner, labels=labels), head=1, visual=2)[0, 0]
    assert mask[:, 4:].tolist() == [
        [2, 0, 0, 0, 0],
        [2, 2, 0, 0, 0],
        [0, 0, 2, 0, 0],
        [0, 0, 2, 2, 0],
        [0, 0, 0, 0, 2],
    ]
    assert mask[0, :4].tolist() == [2, 2, 2, 2]
    assert mask[1, :4].tolist() == [2, 1, 1, 2], (
        "an answer's token sees the video only where a layer keeps it"
    )


def test_budgeted_is_sharpv_at_the_clips_own_scale() -> None:
    """For the scale that the budget implies, the plain selection keeps the same tokens."""
    from sharpv_cli.pruning.visual import score, select_adaptive

    features = torch.randn(4, 6, 16, 12, generator=torch.Generator().manual_seed(1))
    places = trainee.budgeted(features, 40)
    scores = score(features)
    for clip in range(4):
        kept = torch.zeros(6 * 16, dtype=torch.bool)
        kept[places[clip]] = True
        one = type(scores)(
            *(getattr(scores, n)[clip] for n in ("spatial", "temporal", "importance", "ratio"))
        )
        sizes = {s: select_adaptive(one, scale=s) for s in np.linspace(0.05, 4, 4000)}
        matching = [k for k in sizes.values() if int(k.sum()) == 40]
        assert matching
        assert torch.equal(matching[0].flatten(), kept)


def test_scenes_and_questions_repeat_from_their_seed() -> None:
    first, second = (
        [sample_question(sample_scene(rng), rng) for _ in range(50)]
        for rng in (random.Random("test:1"), random.Random("test:1"))
    )
    assert first == second
