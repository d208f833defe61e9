"""What a training prints about itself."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

import torch

from sharpv_cli.training.batches import Batch
from sharpv_cli.training.regimes import Regime

Tensor = torch.Tensor


class Log:
    """Share of answers with every token right (teacher-forced), by kind of step and type of question, and how long
    such a step takes."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def add(self, regime: Regime, batch: Batch, right: Tensor, seconds: float) -> None:
        self.seconds[regime.name].append(seconds)
        rows = right.cpu().numpy()
        for row, spans in zip(rows, batch.spans, strict=True):
            for kind, start, end in spans:
                tally = self.counts[regime.name][kind]
                tally[0] += bool(row[start:end].all())
                tally[1] += 1

    def lines(self) -> list[str]:
        """One line a kind of step; starts anew."""
        out = []
        for name, kinds in sorted(self.counts.items()):
            every = [sum(t[i] for t in kinds.values()) for i in (0, 1)]
            shares = " ".join(f"{k} {r / n:.2f}" for k, (r, n) in sorted(kinds.items()))
            time = 1000 * median(self.seconds[name])
            out.append(f"  {name:8} {every[0] / every[1]:.3f} {time:.0f} ms | {shares}")
        self.counts.clear()
        self.seconds.clear()
        return out
