"""What a method needs to answer about one clip: a plan or an engine, and the budget it has there."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from sharpv_cli.engine.fastv import LAYER, FastVEngine
from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.dataset import Item, Score
from sharpv_cli.evaluation.fewer import affordable
from sharpv_cli.evaluation.matching import Match, spread
from sharpv_cli.evaluation.methods import FASTV, FEWER_FRAMES, EvalMethod
from sharpv_cli.forms import form_of
from sharpv_cli.pruning.methods import METHODS
from sharpv_cli.pruning.plan import Budget, Drawn
from sharpv_cli.types import ANY_TEXT, Answer, Form, Waiting

if TYPE_CHECKING:
    from sharpv_cli.engine.engine import Engine
    from sharpv_cli.models.loading import LoadedModel
    from sharpv_cli.pipeline.comparing import ComparedClip
    from sharpv_cli.settings import Settings


def check(methods: Sequence[EvalMethod], loaded: LoadedModel) -> None:
    """Raise UsageError for what a method or this model refuses, before the first question."""
    for method in methods:
        if method.name in METHODS:
            METHODS[method.name](**method.parameters)
        elif method.name == FASTV:
            _fastv_engine(method, loaded)
        elif method.settings.positions == "contiguous" and loaded.family.positions != "1d":
            raise UsageError(
                f"method {method.label}: this model's positions are time, row and column (M-RoPE)",
                hint="leave out positions=contiguous",
            )


def _fastv_engine(
    method: EvalMethod, loaded: LoadedModel, *, keep: int = 1, beside: Engine | None = None
) -> FastVEngine:
    layer = int(method.parameters.get("layer", LAYER))
    try:
        return FastVEngine(loaded.model, keep=keep, layer=layer, beside=beside)
    except UsageError as error:
        raise UsageError(f"method {method.label}: {error}", hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a question about a clip; `budget` is the share of the clip's visual tokens that was to be kept.

    `share` is the share of the clip's visual tokens that the answer's own frames have.
    """

    answer: Answer
    budget: float | None
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Contest:
    """How rivals are run: `match` sets their budgets, `seed` what they leave to chance; `score` holds for all."""

    match: Match
    seed: int
    score: Score = "exact"

    def answer(
        self, method: EvalMethod, clip: ComparedClip, item: Item, kv_retention: float | None
    ) -> Generator[Waiting, None, Reply]:
        """One method's answer, with its budget where it has one: work on a conveyor.

        `kv_retention` is SharpV's for this question, where budgets are matched by it. Raises UsageError,
        ResourceError, ModelError.
        """
        yield from clip.ask(item.prompt)
        if not method.is_rival:
            return (yield from self._sharpv(method, clip, item))
        budget, of = self._budget(clip, kv_retention), clip.size
        if method.name == FEWER_FRAMES:
            fewer = yield from affordable(clip, item.prompt, budget.tokens)
            answer = yield from fewer.answer(method.settings, form=self._form(item))
            return Reply(answer, budget.tokens / of, min(1.0, fewer.size / of))
        run = self._fastv if method.name == FASTV else self._planned
        return Reply((yield from run(method, clip, item, budget)), budget.tokens / of)

    def _sharpv(self, method: EvalMethod, clip: ComparedClip, item: Item) -> Generator[Waiting, None, Reply]:
        """As the settings have it, or with the scale that a budget of all methods leaves."""
        settings, budget = method.settings, None
        if self.match.holds_for_sharpv and method.has_scale:
            total = self.match.total(clip.size, None)
            settings, budget = _at_scale(settings, clip.scale_for(settings.visual, total)), total / clip.size
        return Reply((yield from clip.answer(settings, form=self._form(item))), budget)

    def _planned(
        self, method: EvalMethod, clip: ComparedClip, item: Item, budget: Budget
    ) -> Generator[Waiting, None, Answer]:
        rival = METHODS[method.name](**method.parameters)
        if isinstance(rival, Drawn):
            rival = replace(rival, seed=self._seed_of(item, method))
        return clip.answer(method.settings, plan=partial(rival.plan, budget=budget), form=self._form(item))

    def _fastv(
        self, method: EvalMethod, clip: ComparedClip, item: Item, budget: Budget
    ) -> Generator[Waiting, None, Answer]:
        """It knows no steps that others share: it answers between two of them."""
        of = clip.clip
        engine = _fastv_engine(method, of.loaded, keep=budget.tokens, beside=of.engine)
        if self.match.kind == "kv":
            # The first layers hold all tokens, so that the others may hold fewer for the same cache.
            frames, tokens = clip.tokens
            beyond = budget.tokens * engine.layers - frames * tokens * engine.layer
            engine.keep = max(0, beyond // (engine.layers - engine.layer))
        return clip.answer(method.settings, engine=engine, form=self._form(item))

    def _form(self, item: Item) -> Form:
        return form_of(choices=item.choices) if self.score == "likelihood" else ANY_TEXT

    def _budget(self, clip: ComparedClip, kv_retention: float | None) -> Budget:
        """By frame as SharpV has it, or in its proportions up to another total."""
        counts = clip.keep_counts()
        if self.match.kind == "visual":
            return Budget(counts)
        total = self.match.total(clip.size, kv_retention)
        return Budget(torch.tensor(spread(counts.tolist(), total, clip.tokens[1])))

    def _seed_of(self, item: Item, method: EvalMethod) -> int:
        """The same for the same question, method and seed, whatever was asked before."""
        told = f"{self.seed}|{method.name}|{sorted(method.parameters.items())}|{item.id}"
        return int.from_bytes(hashlib.sha256(told.encode()).digest()[:7], "big")


def _at_scale(settings: Settings, scale: float | None) -> Settings:
    """With a scale, or, where none keeps so few, with the fewest tokens that the settings allow."""
    visual = settings.visual.model_copy(update={"scale": scale or 0.0})
    return settings.model_copy(update={"visual": visual})
