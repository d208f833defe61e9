"""The prefill's operations on CUDA, a Triton kernel each where PyTorch would take several."""

from __future__ import annotations

import torch
from torch import Tensor

from sharpv_cli.engine import kernels
from sharpv_cli.engine.weights import DecoderWeights, LayerWeights

_BLOCK = 1024


class FusedOperations:
    """As `decoder.TorchOperations`."""

    def __init__(self, device: torch.device) -> None:
        self._zero = torch.zeros(1, dtype=torch.int32, device=device)

    def split_heads(
        self, qkv: Tensor, layer: LayerWeights, decoder: DecoderWeights, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        tokens, dim = len(qkv), decoder.head_dim
        queries = qkv.new_empty(decoder.heads, tokens, dim)
        keys, values = (qkv.new_empty(decoder.kv_heads, tokens, dim) for _ in range(2))
        kernels.place_heads[(tokens, decoder.heads + 2 * decoder.kv_heads)](
            qkv, layer.query_norm, layer.key_norm, cos, sin, self._zero, self._zero, queries, keys, values,
            decoder.heads, decoder.kv_heads, tokens, decoder.epsilon,
            NORM=layer.query_norm is not None, HALF=dim // 2, num_warps=1,
        )  # fmt: skip
        return queries, keys, values

    def gated(self, gate_up: Tensor) -> Tensor:
        tokens, width = len(gate_up), gate_up.shape[1] // 2
        out = gate_up.new_empty(tokens, width)
        kernels.gate[(tokens, -(-width // _BLOCK))](gate_up, out, width, BLOCK=_BLOCK)
        return out
