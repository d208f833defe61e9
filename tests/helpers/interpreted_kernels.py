"""Run by test_kernels.py with TRITON_INTERPRET=1: the CUDA path of a whole decoding, kernel by kernel, on the CPU."""

from __future__ import annotations

import json
import traceback
from types import SimpleNamespace
from typing import Any

import torch
from family_prompts import captured, selected, some_layers
from schedules import Wish, alone, fast, together
from tiny_families import loaded

from sharpv_cli.engine import graph, kernels, paged
from sharpv_cli.engine.decoder import TorchOperations
from sharpv_cli.engine.fused import FusedOperations
from sharpv_cli.engine.graph import GraphSteps
from sharpv_cli.engine.paged import PagedRows
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.engine.together import Together
from sharpv_cli.engine.weights import decoder_weights
from sharpv_cli.pruning import scoring_kernels as pruning_kernels
from sharpv_cli.pruning import visual


class LaunchedSteps(GraphSteps):
    """The steps without a graph around them, which only CUDA has."""

    def _capture(self) -> None:
        pass

    def __call__(self, token: torch.Tensor) -> torch.Tensor:
        self._token.copy_(token.view(1))
        self._launch()
        return self._logits


def close(got: torch.Tensor, want: torch.Tensor, tolerance: float = 1e-5) -> None:
    assert got.shape == want.shape, (got.shape, want.shape)
    assert (got - want).abs().max() <= tolerance * want.abs().max(), (got - want).abs().max()


def decoding(family: str, rows_each: int) -> None:
    """Two steps behind layers of different lengths, against the stock layers.

    A program takes `rows_each` rows of a matrix: more than a GPU's where that has been seen, as the interpreter takes
    as long for a program of many rows as for one of few.
    """
    graph._ROWS = rows_each
    model, whole = loaded(family, "sdpa").model, captured(family)
    prompt = whole.prune(selected(whole, "adaptive"))
    engine = ReferenceEngine(model)
    m = some_layers(family, "sdpa", prompt)
    rows: list[torch.Tensor] = []
    hook = model.get_output_embeddings().register_forward_hook(lambda _m, _a, out: rows.append(out[0, -1:]))
    ids = list(engine.decode(engine.prefill(prompt, m=m), max_new_tokens=3, stop_ids=()))
    hook.remove()

    read = engine.prefill(prompt, m=m)
    assert len(set(read.cache.lengths)) == 2
    step = LaunchedSteps(model, decoder_weights(model), read.cache, 2, flash=False)
    step.begin(read.cache, prompt.position_ids[..., -1:], 2)
    for token, want in zip(ids, rows[-2:], strict=False):
        close(step(torch.tensor([[token]])), want)


class LaunchedRows(PagedRows):
    """As LaunchedSteps. Memory runs out once where an answer has been moved in, and once where all were read."""

    def __init__(self, *of: Any) -> None:
        super().__init__(*of)
        self.events: list[str] = []

    def _captured(self, size: int) -> Any:
        return SimpleNamespace(replay=lambda: self._launch(size))

    def _move_in(self, cache: Any, seat: int) -> None:
        super()._move_in(cache, seat)
        self._fail("moved", after=1)

    def step(self, seats: Any) -> Any:
        logits, largest = super().step(seats)
        if len(seats) > 1:
            self._fail("read", after=1)
        return logits, largest.clone()  # as what a GPU sends to the host is a copy

    def _fail(self, what: str, after: int) -> None:
        self.events.append(what)
        if self.events.count(what) == 1 + after:
            raise torch.OutOfMemoryError


def many(family: str) -> None:
    """Three answers that come and go in blocks of a pool, against each one alone; a fourth does not fit at first."""
    wishes = [
        Wish(family, prompt=0, new=4),
        Wish(family, prompt=1, new=6, memory=False),
        Wish(family, prompt=2, new=3, temperature=1.5, seed=1),
        Wish(family, prompt=3, new=4),
    ]
    paged.BLOCK, engine = 16, Together(fast(family), most=3)
    need = sum(-(-(n + 5) // 16) for n in wishes[1].read(fast(family)).cache.lengths)
    weights = fast(family)._decoder
    block_bytes = 2 * weights.kv_heads * 16 * weights.head_dim * 4
    rows = LaunchedRows(
        fast(family).model, weights, fast(family)._operations, 3, (3 * need + 1) * block_bytes
    )
    engine._rows = rows
    most = 0
    for (ids, _), wish in zip(together(engine, wishes, [0, 0, 1, 2]), wishes, strict=True):
        assert ids == alone(wish)[0], (ids, wish)
        most = max(most, rows.nbytes)
    assert rows.events.count("moved") == len(wishes) + 1
    assert rows.events.count("read") == 2  # one at a time from then on
    assert engine._rows is rows
    assert rows._blocks.taken == 0
    assert 0 < most <= (3 * need + 1) * block_bytes


def attention(entries: int, groups: int, dim: int) -> None:
    """A query over so many entries, in shares of which some are empty."""
    kv_heads, capacity, shares = 2, entries + 5, 16
    queries = torch.randn(kv_heads * groups, dim)
    keys, values = torch.randn(kv_heads, capacity, dim), torch.randn(kv_heads, capacity, dim)
    parts, sizes = (
        torch.full((shares, len(queries), dim), torch.nan),
        torch.full((2, shares, len(queries)), torch.nan),
    )
    out = torch.full_like(queries, torch.nan)
    kernels.attend[(kv_heads, shares)](
        queries, keys, values, torch.tensor([entries - 1], dtype=torch.int32), parts, sizes, capacity, dim**-0.5,
        GROUPS=groups, PADDED=16, DIM=dim, BLOCK=16,
    )  # fmt: skip
    kernels.combine[(len(queries),)](parts, sizes, out, SHARES=shares, DIM=dim)
    want = torch.nn.functional.scaled_dot_product_attention(
        queries.view(1, kv_heads, groups, dim), keys[None, :, :entries], values[None, :, :entries]
    )
    close(out, want.view_as(out))


def prefill_operations(norms: bool) -> None:
    decoder = SimpleNamespace(heads=6, kv_heads=2, head_dim=16, epsilon=1e-6)
    norm = {"query_norm": torch.rand(16), "key_norm": torch.rand(16)}
    layer = SimpleNamespace(**(norm if norms else dict.fromkeys(norm)))
    qkv, cos, sin = torch.randn(7, 10 * 16), torch.randn(7, 16), torch.randn(7, 16)
    fused, plain = FusedOperations(torch.device("cpu")), TorchOperations()
    pairs = zip(
        fused.split_heads(qkv, layer, decoder, cos, sin), plain.split_heads(qkv, layer, decoder, cos, sin), strict=True
    )  # fmt: skip
    for got, want in pairs:
        close(got, want)
    gate_up = torch.randn(3, 2 * 1500)
    close(fused.gated(gate_up), plain.gated(gate_up))


def measures() -> None:
    features = torch.randn(4, 9, 70)
    features[1, 2] = 0
    features[2, 3] = features[1, 3]
    features[0, 1] *= 1e30
    for got, want in zip(
        visual._fused_dissimilarities(features), visual._dissimilarities(features), strict=True
    ):
        close(got, want)
    assert visual._fused_dissimilarities(features)[1][2, 3] == 0
    one, other, at = torch.randn(20, 1500), torch.randn(20, 1500), torch.tensor([1, 4, 19])
    one[4] = 0
    found = torch.full((3,), torch.nan)
    pruning_kernels.cosines[(3,)](one, other, at, found, 1500, BLOCK=1024)
    close(found, torch.nn.functional.cosine_similarity(one[at], other[at]))


CHECKS = {
    "decoding": lambda: [
        decoding(family, rows)
        for family, rows in (("llava_onevision", graph._ROWS), ("qwen3_vl", 16), ("llava_next_video", 16))
    ],
    "many": lambda: [many(family) for family in ("llava_onevision", "qwen3_vl")],
    "attention": lambda: [attention(n, g, d) for n, g, d in ((1, 1, 16), (33, 3, 32), (300, 7, 16))],
    "prefill": lambda: [prefill_operations(norms) for norms in (False, True)],
    "measures": measures,
}

if __name__ == "__main__":
    torch.manual_seed(0)
    found = {}
    for name, check in CHECKS.items():
        try:
            with torch.no_grad():
                check()
            found[name] = "right"
        except Exception:  # noqa: BLE001 - each check has its own verdict
            found[name] = traceback.format_exc()
    print(json.dumps(found))
