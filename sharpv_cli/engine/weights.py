"""The weights of a stock decoder, laid out for our own passes; the stock model goes on working with them.

Query, key and value matrices become one, and so do gate and up: one product reads them in one go. The stock modules'
parameters are views into these, so nothing is held twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# Decoder layers of this one form, whatever their names: RMS norm, rotary attention with grouped queries, gated MLP.
# Every family that has one of them is tested against its stock model.
SERVED_LAYERS = frozenset(
    {
        "LlamaDecoderLayer",
        "MistralDecoderLayer",
        "Qwen2DecoderLayer",
        "Qwen2VLDecoderLayer",
        "Qwen2_5_VLDecoderLayer",
        "Qwen3DecoderLayer",
        "Qwen3VLTextDecoderLayer",
    }
)
# "dynamic" and "longrope" choose their frequencies by the length; a dynamic one stays as it is within the context,
# which the pipeline keeps to.
SERVED_ROPES = frozenset({"default", "linear", "yarn", "llama3", "dynamic"})


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One decoder layer. H query heads and K key-value heads of d dimensions, width D, MLP width I.

    `qkv` [(H + 2K) d, D] and `qkv_bias` [(H + 2K) d] or None; `output` [D, H d]; `gate_up` [2I, D]; `down` [D, I];
    `attention_norm`, `mlp_norm` [D]; `query_norm`, `key_norm` [d], or None where there are none.
    """

    qkv: Tensor
    qkv_bias: Tensor | None
    output: Tensor
    gate_up: Tensor
    down: Tensor
    attention_norm: Tensor
    mlp_norm: Tensor
    query_norm: Tensor | None
    key_norm: Tensor | None


@dataclass(frozen=True, slots=True)
class DecoderWeights:
    """A whole decoder. `epsilon` is that of the RMS norms; `rotary` is the stock module of the position angles."""

    layers: tuple[LayerWeights, ...]
    norm: Tensor
    epsilon: float
    heads: int
    kv_heads: int
    head_dim: int
    rotary: Any

    @property
    def groups(self) -> int:
        """Query heads that share a key-value head."""
        return self.heads // self.kv_heads

    @property
    def scale(self) -> float:
        """What query-key products are multiplied by."""
        return float(self.head_dim**-0.5)


def why_not(model: Any) -> str | None:
    """Why the fast engine cannot run a model's decoder, in words; None where it can."""
    decoder = model.get_decoder()
    config = decoder.config
    if getattr(config, "hidden_act", "silu") not in ("silu", "swish"):
        return f"it does not know the activation {config.hidden_act}"
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope not in SERVED_ROPES:
        return f"it does not know rope of type {rope}"
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or not head.weight.is_floating_point():
        return "the weights are quantised"
    if head.bias is not None:
        return "its output projections have biases"
    return next((reason for layer in decoder.layers if (reason := _why_not_layer(layer)) is not None), None)


def _why_not_layer(layer: Any) -> str | None:
    """Quantisation may leave single layers as they are, so each is looked at."""
    if (kind := type(layer).__name__) not in SERVED_LAYERS:
        return f"it does not know layers of kind {kind}"
    attention, mlp = layer.self_attn, layer.mlp
    inward = (attention.q_proj, attention.k_proj, attention.v_proj)
    onward = (attention.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj)
    if any(
        type(linear) is not nn.Linear or not linear.weight.is_floating_point() for linear in inward + onward
    ):
        return "the weights are quantised"
    if any(linear.bias is not None for linear in onward):
        return "its output projections have biases"
    return None


@torch.no_grad()
def decoder_weights(model: Any) -> DecoderWeights:
    """The weights of a model for which `why_not` finds nothing. Joins matrices in place, a layer at a time."""
    decoder = model.get_decoder()
    attention = decoder.layers[0].self_attn
    head_dim = attention.head_dim
    return DecoderWeights(
        layers=tuple(_layer(layer) for layer in decoder.layers),
        norm=decoder.norm.weight,
        epsilon=decoder.norm.variance_epsilon,
        heads=attention.q_proj.out_features // head_dim,
        kv_heads=attention.k_proj.out_features // head_dim,
        head_dim=head_dim,
        rotary=decoder.rotary_emb,
    )


def _layer(layer: Any) -> LayerWeights:
    attention, mlp = layer.self_attn, layer.mlp
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    has_bias = attention.q_proj.bias is not None
    return LayerWeights(
        qkv=_joined([linear.weight for linear in projections]),
        qkv_bias=_joined([linear.bias for linear in projections]) if has_bias else None,
        output=attention.o_proj.weight,
        gate_up=_joined([mlp.gate_proj.weight, mlp.up_proj.weight]),
        down=mlp.down_proj.weight,
        attention_norm=layer.input_layernorm.weight,
        mlp_norm=layer.post_attention_layernorm.weight,
        query_norm=getattr(getattr(attention, "q_norm", None), "weight", None),
        key_norm=getattr(getattr(attention, "k_norm", None), "weight", None),
    )


def _joined(parameters: list[Tensor]) -> Tensor:
    """The parameters below each other in one tensor, of which they become views, or are so already."""
    first = parameters[0].data
    storage = first.untyped_storage()
    if all(parameter.untyped_storage().data_ptr() == storage.data_ptr() for parameter in parameters):
        shape = (sum(len(parameter) for parameter in parameters), *first.shape[1:])
        return first.as_strided(shape, first.stride(), 0)
    whole = torch.cat([parameter.data for parameter in parameters])
    for parameter, part in zip(parameters, torch.split(whole, [len(p) for p in parameters]), strict=True):
        parameter.data = part
    return whole
