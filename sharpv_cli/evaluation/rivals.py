"""What a method needs to answer about one clip: a plan or an engine, and the budget it has there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.dataset import Item
from sharpv_cli.evaluation.matching import Match, spread
from sharpv_cli.evaluation.methods import EvalMethod
from sharpv_cli.pruning.methods import METHODS
from sharpv_cli.pruning.plan import Budget, KeepPlan

if TYPE_CHECKING:
    from sharpv_cli.pipeline.comparing import ComparedClip
    from sharpv_cli.types import Answer


def check(methods: Sequence[EvalMethod]) -> None:
    """Raise UsageError for a parameter that its method refuses, before the first question."""
    for method in methods:
        if method.name in METHODS:
            METHODS[method.name](**method.parameters)


FASTV_LAYER = 2  # the paper's K


@dataclass(frozen=True, slots=True)
class Contest:
    """How rivals are run: `match` sets their budgets, `seed` what they leave to chance."""

    match: Match
    seed: int

    def answer(
        self, method: EvalMethod, clip: ComparedClip, item: Item, kv_retention: float | None
    ) -> Answer:
        """One method's answer; `kv_retention` is SharpV's for this question, where budgets are matched by it.

        Raises UsageError, ResourceError, ModelError.
        """
        if not method.is_rival:
            return clip.answer(item.prompt, method.settings)
        if method.name == "fastv":
            return self._fastv(method, clip, item.prompt, kv_retention)
        rival = METHODS[method.name](**method.parameters)
        budget = self._budget(clip, item.prompt, kv_retention)
        generator = torch.Generator().manual_seed(self._seed_of(item, method))

        def plan(features: Tensor) -> KeepPlan:
            return rival.plan(features, budget, generator)

        return clip.answer(item.prompt, method.settings, plan=plan)

    def _fastv(
        self, method: EvalMethod, clip: ComparedClip, prompt: str, kv_retention: float | None
    ) -> Answer:
        from sharpv_cli.engine.fastv import FastVEngine

        keep = self._budget(clip, prompt, kv_retention).tokens
        layer = int(method.parameters.get("layer", FASTV_LAYER))
        engine = FastVEngine(clip.clip.loaded.model, keep=keep, layer=layer)
        if self.match.kind == "kv":
            # The first layers hold all tokens, so that the others may hold fewer for the same cache.
            frames, tokens = clip.tokens(prompt)
            beyond = keep * engine.layers - frames * tokens * layer
            engine.keep = max(0, beyond // (engine.layers - layer))
        return clip.answer(prompt, method.settings, engine=engine)

    def _budget(self, clip: ComparedClip, prompt: str, kv_retention: float | None) -> Budget:
        """By frame as SharpV has it, or in its proportions up to another total."""
        counts = clip.keep_counts(prompt)
        if self.match.kind == "visual":
            return Budget(counts)
        frames, tokens = clip.tokens(prompt)
        ratio = self.match.ratio
        if self.match.kind == "kv":
            if kv_retention is None:
                raise UsageError("SharpV has no answer to this question, so there is no budget to match")
            ratio = kv_retention
        assert ratio is not None, self.match
        total = max(1, round(ratio * frames * tokens))
        return Budget(torch.tensor(spread(counts.tolist(), total, tokens)))

    def _seed_of(self, item: Item, method: EvalMethod) -> int:
        """The same for the same question, method and seed, whatever was asked before."""
        told = f"{self.seed}|{method.label}|{item.id}"
        return int.from_bytes(hashlib.sha256(told.encode()).digest()[:7], "big")
