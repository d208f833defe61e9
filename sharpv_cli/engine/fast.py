"""The fast engine: our own passes over the stock model's weights, on the CPU and on CUDA.

Prompts are read in few large operations, decoding runs over buffers of each layer's own length, and on CUDA as one
graph a token. Greedy tokens equal the reference engine's in float32 (tests/test_engine_fast.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sharpv_cli.engine import decoder, weights
from sharpv_cli.engine.cache import SharpVCache
from sharpv_cli.engine.device import make_current
from sharpv_cli.engine.engine import Engine, Prefill
from sharpv_cli.engine.late import Late
from sharpv_cli.engine.memory import Observer
from sharpv_cli.engine.rows import EagerRows, Rows
from sharpv_cli.engine.sampling import Sampler
from sharpv_cli.engine.steps import EagerSteps, Steps
from sharpv_cli.models.capture import Prompt
from sharpv_cli.models.loading import LoadedModel

if TYPE_CHECKING:
    from sharpv_cli.engine.graph import GraphSteps


def why_not_fast(loaded: LoadedModel) -> str | None:
    """Why the fast engine cannot run a model, in words; None where it can."""
    if loaded.split:
        return "the layers are on several devices"
    if loaded.info.attention == "eager":
        return "eager attention is the stock layers' own"
    if (reason := weights.why_not(loaded.model)) is not None:
        return reason
    return _why_not_on(loaded.device, loaded.model.get_decoder().layers[0].self_attn.head_dim)


def _why_not_on(device: torch.device, head_dim: int) -> str | None:
    if device.type == "cpu":
        return None
    if device.type != "cuda":
        return f"it does not run on {device.type}"
    if find_spec("triton") is None:
        return "triton is not installed"
    if head_dim < 16 or head_dim & (head_dim - 1):
        return f"its kernels do not take heads of {head_dim} dimensions"
    return None


def _operations_on(device: torch.device) -> decoder.Operations:
    if device.type != "cuda":
        return decoder.TorchOperations()
    from sharpv_cli.engine.fused import FusedOperations  # imports triton

    return FusedOperations(device)


class FastEngine(Engine):
    """Raises nothing of its own; make it only where `why_not_fast` finds nothing."""

    name = "fast"

    def __init__(self, model: Any, reason: str = "it serves the model", *, flash: bool = False) -> None:
        super().__init__(model, reason)
        self._decoder = weights.decoder_weights(model)
        self._operations = _operations_on(model.device)
        self._flash = flash
        self._idle: GraphSteps | None = None  # waits for the next answer

    @property
    def always_in_two(self) -> bool:
        """In float32; in half precision each pass over the weights would take a few per cent of a GPU's prefill."""
        return bool(self.model.dtype == torch.float32)

    def warm_up(self) -> None:
        """On CUDA, compile and load all kernels with a prompt of a few tokens, so that no answer waits for it."""
        device = self.model.device
        if device.type != "cuda":
            return
        make_current(device)
        ids = torch.zeros(1, 8, dtype=torch.int64, device=device)
        positions = torch.arange(8, device=device)[None]
        rows = 3 if _has_sections(self._decoder) else 0
        prompt = Prompt(
            embeds=self.model.get_input_embeddings()(ids).detach(),
            position_ids=positions.expand(rows, 1, -1) if rows else positions,
            input_ids=ids,
            visual=torch.arange(2, 6, device=device),
        )
        for _ in self.decode(self.prefill(prompt, m=-1.0), max_new_tokens=3, stop_ids=()):
            pass
        self.release()

    def release(self) -> None:
        self._idle = None

    @torch.no_grad()
    def read(self, prompt: Prompt, cache: SharpVCache, memory: Observer | None = None) -> Tensor:
        last = decoder.read(self._decoder, self._operations, prompt, cache, memory)
        logits: Tensor = self.model.get_output_embeddings()(last[None])
        return logits[:, -1].float()

    def _tokens(self, start: Prefill, choose: Sampler, count: int) -> Generator[int | None]:
        token = choose(start.logits)
        yield int(token)
        if count > 1:
            with self.steps(start, count - 1) as step:
                yield from _generated(step, choose, token, count - 1, ahead=token.is_cuda)

    def _behind(self, start: Prefill, ids: Tensor) -> Tensor:
        text = start.prompt.followed_by(ids, self.model.get_input_embeddings()(ids))
        states = decoder.read_all(self._decoder, self._operations, text, start.cache.fork())
        logits: Tensor = self.model.get_output_embeddings()(states[None])
        return logits[0].float()

    def rows(self, most: int, bound: int) -> Rows:
        """Seats for at most `most` answers that are decoded together, in `bound` bytes."""
        if self.model.device.type != "cuda":
            return EagerRows(self.model, self._decoder, self._operations, bound)
        from sharpv_cli.engine.paged import PagedRows  # imports triton

        return PagedRows(self.model, self._decoder, self._operations, most, bound)

    @contextmanager
    def steps(self, start: Prefill, count: int) -> Iterator[Steps]:
        """Steps behind what was read, for `count` further tokens."""
        last = start.prompt.position_ids[..., -1:]
        if not last.is_cuda:
            yield EagerSteps(self.model, self._decoder, self._operations, start.cache, last, count)
            return
        graph = self._graph_for(start.cache, count)
        try:
            graph.begin(start.cache, last, count)
            yield graph
        finally:
            self._idle = graph

    def _graph_for(self, cache: SharpVCache, count: int) -> GraphSteps:
        """The graph of the answer before, if it is free and of the right size, or else a new one."""
        graph, self._idle = self._idle, None
        if graph is not None and graph.fits(cache, count):
            return graph
        from sharpv_cli.engine.graph import GraphSteps  # imports triton

        graph = None  # its memory first
        return GraphSteps(self.model, self._decoder, cache, count, flash=self._flash)


def _has_sections(decoder: weights.DecoderWeights) -> bool:
    return "mrope_section" in (decoder.rotary.config.rope_parameters or {})


def _generated(step: Steps, choose: Sampler, token: Tensor, count: int, *, ahead: bool) -> Iterator[int]:
    """`count` token ids after `token`, which begins an answer.

    `ahead`: a step is begun before the host has read the token that it goes on from, so that the device never
    waits for the host; after a token that ends the answer, one step is for nothing.
    """
    waiting: deque[Late] = deque()
    for _ in range(count):
        token = choose(step(token))
        waiting.append(Late(token))
        if len(waiting) > ahead:
            yield int(waiting.popleft().value())
    yield from (int(late.value()) for late in waiting)
