"""The visual tokens of a long clip that pruning may still keep, while its frames come chunk by chunk."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sharpv_cli.engine.late import Late
from sharpv_cli.models.assembling import assemble, others_of
from sharpv_cli.models.capture import VisualPrompt
from sharpv_cli.models.wording import Wording
from sharpv_cli.pipeline.selecting import kept_by, largest_scale
from sharpv_cli.pruning.visual import Scores, score

if TYPE_CHECKING:
    from sharpv_cli.models.loading import LoadedModel
    from sharpv_cli.settings import VisualSettings

_SLACK = 4  # a quarter over the room, so that tokens are not moved after every chunk
# On CUDA a chunk's tokens are taken out when the next one is on its way: nothing waits for their number.
_CUDA_LAG = 1


class HeldTokens:
    """`add` every chunk in order, `flush`; then `prompt` is the whole clip's, with what is held of it.

    Scores are exactly those of the whole clip: a chunk is scored behind the frame before it. At least what the
    settings keep is held, or, where that is more than `room` tokens, what the largest scale keeps that fits the
    frames so far: no larger one can fit in the end.
    """

    def __init__(self, loaded: LoadedModel, words: Wording, visual: VisualSettings, room: int | None) -> None:
        self._loaded, self._words, self._visual, self._room = loaded, words, visual, room
        self._scale = visual.scale
        self._others, self._tail = others_of(words)
        self._last_frame: Tensor | None = None
        self._waiting: deque[_Chunk] = deque()
        self._pieces: list[_Piece] = []
        self._lag = _CUDA_LAG if loaded.device.type == "cuda" else 0

    @property
    def count(self) -> int:
        """Tokens held, as far as they were taken out."""
        return sum(len(piece.rows) for piece in self._pieces)

    @property
    def scores(self) -> Scores | None:
        """Of all frames; None where nothing is pruned."""
        scored = [piece.scores for piece in self._pieces if piece.scores is not None]
        return _joined(scored) if scored else None

    @torch.no_grad()
    def add(self, chunk: VisualPrompt) -> None:
        """The next frames, as they were captured; they are looked at once."""
        scores = self._scored(chunk)
        keep = kept_by(scores, self._visual, chunk.slots, self._scale)
        self._waiting.append(_Chunk(chunk, keep, scores))
        self._take(self._lag)

    @torch.no_grad()
    def flush(self) -> None:
        """Take out what still waits; nothing more is added."""
        self._take(0)
        self._last_frame = None

    def prompt(self) -> VisualPrompt:
        keep = torch.cat([piece.keep for piece in self._pieces])
        others = [piece.others for piece in self._pieces]
        tail = self._pieces[-1].others[len(others[-1]) - self._tail :]
        inside = [rows[: len(rows) - self._tail] for rows in others]
        rows = (piece.rows for piece in self._pieces)
        return assemble(self._loaded, self._words, keep, rows, torch.cat([*inside, tail]))

    def _scored(self, chunk: VisualPrompt) -> Scores | None:
        if self._visual.mode == "off":
            return None
        features = chunk.features
        before, self._last_frame = self._last_frame, features[-1:].clone()
        if before is None:
            return score(features, self._visual.w)
        behind = score(torch.cat([before, features]), self._visual.w)
        return Scores(behind.spatial[1:], behind.temporal[1:], behind.importance[1:], behind.ratio[1:])

    def _take(self, lag: int) -> None:
        while len(self._waiting) > lag:
            self._pieces.append(
                self._waiting.popleft().taken(self._words.placeholder, self._others, self._tail)
            )
        if self._room is not None and self.count > self._room + self._room // _SLACK:
            self._lower_scale(self._room)

    def _lower_scale(self, room: int) -> None:
        if self._visual.mode != "adaptive":
            return
        ratios = torch.cat([piece.scores.ratio for piece in self._pieces if piece.scores is not None])
        self._scale = largest_scale(ratios, self._pieces[0].keep.shape[1], self._visual, room)
        self._pieces = [piece.at(self._scale, self._visual) for piece in self._pieces]


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is held of a chunk: `keep` bool [t, f], of these the embeddings `rows` [k, D], and `others` [m, D]."""

    keep: Tensor
    scores: Scores | None
    rows: Tensor
    others: Tensor

    def at(self, scale: float, visual: VisualSettings) -> _Piece:
        """The part that a lower scale keeps."""
        keep = kept_by(self.scores, visual, self.keep, scale)
        return _Piece(keep, self.scores, self.rows[keep[self.keep]], self.others)


class _Chunk:
    """A captured chunk whose number of kept tokens is on its way to the host."""

    def __init__(self, prompt: VisualPrompt, keep: Tensor, scores: Scores | None) -> None:
        self._prompt, self._keep, self._scores = prompt, keep, scores
        self._count = Late(keep.sum())

    def taken(self, placeholder: int, others: int, tail: int) -> _Piece:
        slots, embeds, ids = self._prompt.slots, self._prompt.embeds[0], self._prompt.input_ids[0]
        places = torch.nonzero_static(self._keep.flatten(), size=int(self._count.value())).flatten()
        beside = ids == placeholder
        beside[slots] = False
        rest = torch.nonzero_static(beside, size=others * len(slots) + tail).flatten()
        return _Piece(self._keep, self._scores, embeds[slots.flatten()[places]], embeds[rest])


def _joined(scores: list[Scores]) -> Scores:
    names = ("spatial", "temporal", "importance", "ratio")
    return Scores(*(torch.cat([getattr(part, name) for part in scores]) for name in names))
