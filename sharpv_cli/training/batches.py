"""Endless training batches, made on CPU workers: scenes, sampling times and packed questions, as tensors."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from sharpv_cli.shapes.questions import WRITERS, Question, sample_question
from sharpv_cli.shapes.render import SceneBatch, as_batch
from sharpv_cli.shapes.wordings import with_articles
from sharpv_cli.shapes.world import COLOURS, sample_scene
from sharpv_cli.training.checkpoint import IM_END, IM_START
from sharpv_cli.training.staging import Staged, staged
from sharpv_cli.training.wordings import as_typed, training, unanswerable
from sharpv_cli.training.worlds import SOURCES, Shot

Tensor = torch.Tensor
COLOUR_NAMES = tuple(COLOURS)
SHAPES_WORLD = "shapes"
_UNANSWERABLE = 0.2  # of the questions, where other words are trained
# What is hardest is asked more often than the benchmark does: long descriptions, and counting.
_OFTENER = {"describe": 4.0, "count": 2.5}
_WRITERS = {kind: (_OFTENER.get(kind, 1.0) * share, writer) for kind, (share, writer) in WRITERS.items()}
PROMPT_HEAD = f"{IM_START}user "


def prompt_tail(question: str) -> str:
    """The prompt after the visual tokens, as the chat template writes it."""
    return f"\n{question}{IM_END}{IM_START}assistant\n"


@dataclass(frozen=True, slots=True)
class Batch:
    """B clips with several questions each, packed into `text` positions of one row.

    `times` float32 [B, T] (fractions of the clip, seconds in other worlds); `ids`, `offsets`, `owner` int64 [B, text]:
    token, place within its question, number of its question (-1: padding); `labels` int64 [B, text] (-100: no answer
    token) and `weights` float32 [B, text] of the answer's tokens. `spans` gives (type, start, end) of each answer, for
    the log.
    """

    scenes: SceneBatch | Staged
    times: Tensor
    ids: Tensor
    offsets: Tensor
    owner: Tensor
    labels: Tensor
    weights: Tensor
    spans: list[list[tuple[str, int, int]]]

    def to(self, device: str) -> Batch:
        tensors = ("times", "ids", "offsets", "owner", "labels", "weights")
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in tensors}
        return replace(self, scenes=self.scenes.to(device), **moved)


class Batches(IterableDataset[Batch]):
    """Batches of `clips` scenes sampled at `frames` times; no two workers and no two seeds share a scene.

    `other_words` is the share of the questions in wordings beside the benchmark's own; `world` is ShapesQA's own, or
    the name of another source of clips.
    """

    def __init__(
        self,
        tokenizer_json: str,
        *,
        clips: int,
        frames: int,
        text: int,
        seed: str,
        other_words: float = 0.0,
        world: str = SHAPES_WORLD,
    ) -> None:
        self.tokenizer_json, self.clips, self.frames = tokenizer_json, clips, frames
        self.text, self.seed, self.other_words, self.world = text, seed, other_words, world

    def __iter__(self) -> Iterator[Batch]:
        from tokenizers import Tokenizer

        info = get_worker_info()
        own = self.world == SHAPES_WORLD
        name = f"{self.seed}" if own else f"{self.seed}:{self.world}"
        rng = random.Random(f"train:{name}:{self.clips}x{self.frames}:{info.id if info else 0}")
        tokenizer = Tokenizer.from_str(self.tokenizer_json)
        while True:
            if own:
                scenes: list[Any] = [sample_scene(rng) for _ in range(self.clips)]
                times = torch.tensor([sampled_times(rng, self.frames) for _ in scenes])
                drawn: SceneBatch | Staged = as_batch(scenes, COLOUR_NAMES)
            else:
                source = SOURCES[self.world]
                shots = [Shot.of(source, self.frames, rng) for _ in range(self.clips)]
                scenes, times = [shot.world for shot in shots], torch.tensor([shot.times for shot in shots])
                drawn = staged(shots, source, rng)
            yield self._packed(scenes, drawn, times, rng, tokenizer)

    def _packed(
        self, scenes: list[Any], drawn: SceneBatch | Staged, times: Tensor, rng: random.Random, tokenizer: Any
    ) -> Batch:
        shape = (len(scenes), self.text)
        ids, offsets = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        owner, labels = torch.full(shape, -1), torch.full(shape, -100)
        weights = torch.zeros(shape)
        spans: list[list[tuple[str, int, int]]] = []
        for row, scene in enumerate(scenes):
            spans.append([])
            start = number = 0
            while True:
                question = self._question(scene, rng)
                prompt, answer = encode(tokenizer, question)
                end = start + len(prompt) + len(answer)
                if end > self.text:
                    break
                ids[row, start:end] = torch.tensor(prompt + answer)
                offsets[row, start:end] = torch.arange(end - start)
                owner[row, start:end] = number
                begin = start + len(prompt)
                labels[row, begin:end] = torch.tensor(answer)
                # Between one vote a token and one vote an answer: descriptions are long, not more important.
                weights[row, begin:end] = len(answer) ** -0.5
                spans[-1].append((question.type, begin, end))
                start, number = end, number + 1
        return Batch(drawn, times, ids, offsets, owner, labels, weights, spans)

    def _question(self, scene: Any, rng: random.Random) -> Question:
        if self.world != SHAPES_WORLD:
            return SOURCES[self.world].question(scene, rng)
        if not self.other_words:
            return sample_question(scene, rng, writers=_WRITERS)
        if rng.random() < _UNANSWERABLE:
            question = unanswerable(rng)
        elif rng.random() >= self.other_words:
            return sample_question(scene, rng, writers=_WRITERS)
        else:
            question = sample_question(scene, rng, wordings=training(), writers=_WRITERS)
        return replace(question, text=as_typed(with_articles(question.text), rng))


def encode(tokenizer: Any, question: Question) -> tuple[list[int], list[int]]:
    """Token ids of the prompt after the visual tokens, and of the answer with its end token."""
    return (
        tokenizer.encode(prompt_tail(question.text)).ids,
        [*tokenizer.encode(question.answer).ids, tokenizer.token_to_id(IM_END)],
    )


def sampled_times(rng: random.Random, frames: int) -> list[float]:
    """Where uniform sampling lands in a clip of 2 to 8 s at 8 to 30 fps: on the frame that is on screen."""
    length = max(frames, round(rng.uniform(2, 8) * rng.uniform(8, 30)))
    return [(int((k + 0.5) / frames * length) + 0.5) / length for k in range(frames)]
