"""Answers that come at random, decoded together and each one alone.

`python tests/helpers/schedules.py 200` tries 200 schedules, `... 200 cuda` on a GPU, with the root on PYTHONPATH.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from cuda_models import on_cuda, to_cuda
from family_prompts import captured, some_layers
from tiny_families import RECIPES, folder, loaded
from tiny_model import some

from sharpv_cli.engine.engine import Engine, Prefill
from sharpv_cli.engine.factory import make_engine
from sharpv_cli.engine.fast import FastEngine
from sharpv_cli.engine.together import Together

MOST_TOKENS = 14
device = "cpu"


class Held:
    """A guide: one of `count` tokens, others after each token."""

    def __init__(self, size: int, count: int) -> None:
        self._size, self._count, self._seen = size, count, list[int]()

    def allowed(self) -> torch.Tensor:
        mask = torch.zeros(1, self._size, dtype=torch.bool)
        mask[0, random.Random(str(self._seen)).sample(range(self._size), self._count)] = True
        return mask.to(device)

    def take(self, token_id: int) -> None:
        self._seen.append(token_id)


@dataclass
class Wish:
    """What is asked for: a prompt of a family, by the seed of what is kept of it, and how it is answered."""

    family: str
    prompt: int = 0
    memory: bool = True
    new: int = MOST_TOKENS
    stop: tuple[int, ...] = ()
    temperature: float = 0.0
    seed: int | None = None
    held: int | None = None
    logprobs: bool = False
    left_after: int | None = None  # tokens, when it is closed

    def read(self, engine: Engine) -> Prefill:
        whole = captured(self.family)
        prompt = whole.prune(some(whole, seed=self.prompt, part=(0.3, 0.5, 0.8)[self.prompt % 3]))
        prompt = to_cuda(prompt) if device == "cuda" else prompt
        return engine.prefill(prompt, m=threshold(self.family) if self.memory else None)

    def begun(self, engine: Engine, logprobs: list[torch.Tensor]) -> Iterator[int | None]:
        size = engine.model.get_output_embeddings().weight.shape[0]
        tokens = engine.decode(
            self.read(engine),
            max_new_tokens=self.new,
            stop_ids=self.stop,
            temperature=self.temperature,
            seed=self.seed,
            guide=None if self.held is None else Held(size, self.held),
            logprobs=logprobs if self.logprobs else None,
        )
        try:
            count = 0
            while count != self.left_after and (token := next(tokens, -1)) != -1:
                count += token is not None
                yield token
        finally:
            tokens.close()


@cache
def threshold(family: str) -> float:
    whole = captured(family)
    return some_layers(family, "sdpa", whole.prune(some(whole)))


def fast(family: str) -> FastEngine:
    return _fast(family, device)


@cache
def _fast(family: str, device: str) -> FastEngine:
    model = on_cuda(folder(family), "float32") if device == "cuda" else loaded(family)
    engine = make_engine(model, "fast")
    assert isinstance(engine, FastEngine)
    return engine


Told = tuple[list[int], list[float]]


def alone(wish: Wish) -> Told:
    logprobs: list[torch.Tensor] = []
    ids = [token for token in wish.begun(fast(wish.family), logprobs) if token is not None]
    return ids, _numbers(logprobs)


def together(engine: Together, wishes: Sequence[Wish], arrivals: Sequence[int] | None = None) -> list[Told]:
    """The answers, each begun when there is room, and not before so many steps."""
    told: list[Any] = [([], []) for _ in wishes]
    going: dict[int, Iterator[int | None]] = {}
    coming, step = list(range(len(wishes))), 0
    while coming or going:
        while coming and engine.has_room and step >= (arrivals or [0] * len(wishes))[coming[0]]:
            going[coming[0]] = wishes[coming[0]].begun(engine, told[coming[0]][1])
            _advance(going, told, [coming.pop(0)])
        engine.step()
        _advance(going, told, list(going))
        step += 1
        assert step < 10_000, "it stands still"
    return [(ids, _numbers(logprobs)) for ids, logprobs in told]


def _advance(going: dict[int, Iterator[int | None]], told: list[Any], numbers: Sequence[int]) -> None:
    for number in numbers:
        while (token := next(going[number], -1)) is not None:
            if token == -1:
                del going[number]
                break
            told[number][0].append(token)


def _numbers(logprobs: Sequence[torch.Tensor]) -> list[float]:
    return torch.cat(list(logprobs)).tolist() if logprobs else []


def drawn(draw: random.Random, family: str) -> Wish:
    wish = Wish(family, draw.randrange(6), draw.random() < 0.6, draw.randint(1, MOST_TOKENS))
    if draw.random() < 0.3:
        wish.temperature, wish.seed = draw.choice([0.7, 1.5]), draw.randrange(9)
    if draw.random() < 0.2:
        wish.held = draw.choice([1, 5, 40])
    wish.logprobs = draw.random() < 0.3
    if draw.random() < 0.4:
        wish.stop = (draw.choice(alone(wish)[0]),)
    if draw.random() < 0.2:
        wish.left_after = draw.randrange(1, MOST_TOKENS)
    return wish


def differences(seed: int) -> str | None:
    """What a random schedule brings to light, if anything."""
    draw = random.Random(seed)
    family = draw.choice(list(RECIPES))
    wishes = [drawn(draw, family) for _ in range(draw.randint(2, 9))]
    arrivals = sorted(draw.randrange(25) for _ in wishes)
    bound = draw.choice([1 << 30, 1 << 30, 300_000, 1000])
    engine = Together(fast(family), most=draw.randint(1, 6), bound=bound)
    for wish, got in zip(wishes, together(engine, wishes, arrivals), strict=True):
        want = alone(wish)
        told = len(want[0]) * wish.logprobs  # on a GPU there may be those of a token that nobody waited for
        near = all(abs(a - b) < 1e-4 for a, b in zip(got[1][:told], want[1][:told], strict=True))
        if got[0] != want[0] or not near:
            return f"{seed}: {wish}: {got} and alone {want}"
    return None if engine.seated == 0 else f"{seed}: a seat is still taken"


if __name__ == "__main__":
    device = sys.argv[2] if len(sys.argv) > 2 else device
    found = [what for seed in range(int(sys.argv[1])) if (what := differences(seed))]
    print("\n".join(found) or "all alike")
    sys.exit(bool(found))
