"""The model in training: its parts called one by one, so that many questions share one look at a clip."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from sharpv_cli.pruning.visual import score
from sharpv_cli.shapes.hard import PALETTE
from sharpv_cli.shapes.letters import LETTERS
from sharpv_cli.shapes.world import SHAPES
from sharpv_cli.training import checkpoint
from sharpv_cli.training.batches import PROMPT_HEAD, Batch
from sharpv_cli.training.targets import Targets
from sharpv_cli.training.worlds import LONGEST

Tensor = torch.Tensor
_CLOCK_DEPTH = 3  # layers that have a token's time by then: those after them can use it


class Trainee(nn.Module):
    """The model and the auxiliary heads that only training needs."""

    head_ids: Tensor

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.model = model
        self.colours = nn.Linear(checkpoint.VISION_WIDTH, len(PALETTE) + 1)
        self.kinds = nn.Linear(checkpoint.VISION_WIDTH, len(SHAPES) + 1)
        self.geometry = nn.Linear(checkpoint.VISION_WIDTH, 3)
        self.letters = nn.Linear(checkpoint.VISION_WIDTH, len(LETTERS) + 1)
        self.places = nn.Linear(checkpoint.VISION_WIDTH, LONGEST + 1)
        width = model.config.text_config.hidden_size
        self.clock = nn.Linear(width, 2 * len(self._slow_waves()))
        self.register_buffer("head_ids", torch.tensor(tokenizer.encode(PROMPT_HEAD).ids))
        for layer in model.model.language_model.layers:
            layer.self_attn.register_buffer("discarded", torch.zeros((), dtype=torch.int8), persistent=False)

    def discard(self, layers: set[int]) -> None:
        """Hide the video from the answers in these layers, and in no others. Tensors, so nothing recompiles."""
        for index, layer in enumerate(self.model.model.language_model.layers):
            layer.self_attn.discarded.fill_(index in layers)

    def patches(self, frames: Tensor) -> Tensor:
        """Frames [B, T, 3, H, W] in 0 to 1 -> the tower's output as the projector takes it [B, T, patches, d]."""
        tower = self.model.model.vision_tower
        tower = getattr(tower, "vision_model", tower)
        flat = (frames.flatten(0, 1) - 0.5) / 0.5
        hidden: Tensor = tower.encoder(inputs_embeds=tower.embeddings(flat)).last_hidden_state
        return hidden.view(*frames.shape[:2], *hidden.shape[1:])

    def features(self, patches: Tensor) -> Tensor:
        """Project and pool: [B, T, patches, d] -> visual tokens [B, T, f, D].

        The stock bilinear halving of an even grid is a 2x2 mean; its kernel took most of the training time.
        """
        projected: Tensor = self.model.model.multi_modal_projector(patches)
        half = checkpoint.GRID // 2
        grid = projected.view(*projected.shape[:2], half, 2, half, 2, projected.shape[-1])
        return grid.mean(dim=(3, 5)).flatten(2, 3)

    def auxiliary_loss(self, patches: Tensor, targets: Targets) -> Tensor:
        """What is on each patch: colour, shape, the object's centre and radius, and which letter of which place.

        Answers alone do not teach to read: the first letter that is told right pays nothing while the next is not.
        """
        colour = F.cross_entropy(self.colours(patches).float().flatten(0, 2), targets.colour.flatten())
        kind = F.cross_entropy(self.kinds(patches).float().flatten(0, 2), targets.kind.flatten())
        error = (self.geometry(patches).float() - targets.geometry).abs().sum(dim=-1)
        there = (targets.kind > 0).float()
        letter = _balanced(self.letters(patches), targets.letter) + _balanced(
            self.places(patches), targets.place
        )
        loss: Tensor = colour + kind + letter + (error * there).sum() / there.sum().clamp(min=1)
        return loss

    def answer(self, features: Tensor, kept: Tensor | None, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [B, text, V] for the token after each text position, and the clock's loss.

        `features` [B, N, D] are the visual tokens that the language model gets, `kept` [B, n] their places among
        the clip's tokens (None: all). Kept tokens have their original positions, and every question starts behind
        the video, as if it were the only one: the mask lets it see the prompt's head, the video and itself.
        """
        inner = self.model.model
        table = inner.language_model.embed_tokens
        size, head = batch.ids.shape[0], self.head_ids.numel()
        newline = inner.image_newline.expand(size, 1, -1)
        front = table(self.head_ids).expand(size, -1, -1)
        parts = [front, features, newline, table(batch.ids)]
        embeds = torch.cat([p.to(features.dtype) for p in parts], dim=1)
        total = self.tokens_in_clip(batch)
        device = features.device
        if kept is None:
            kept = torch.arange(total, device=device).expand(size, -1)
        ends = torch.tensor([[head + total]], device=device).expand(size, -1)
        starts = torch.arange(head, device=device).expand(size, -1)
        positions = torch.cat([starts, head + kept, ends, head + total + 1 + batch.offsets], dim=1)
        language, clock = inner.language_model, embeds.new_zeros(())
        mask, rotary = question_mask(batch, head, features.shape[1]), language.rotary_emb(embeds, positions)
        hidden = embeds
        for depth, layer in enumerate(language.layers):
            if depth == _CLOCK_DEPTH:
                clock = self._clock_loss(hidden, positions)
            hidden = layer(hidden, attention_mask=mask, position_ids=positions, position_embeddings=rotary)
        logits: Tensor = self.model.lm_head(language.norm(hidden[:, -batch.ids.shape[1] :]))
        return logits.float(), clock

    def _clock_loss(self, hidden: Tensor, positions: Tensor) -> Tensor:
        """How far the slow waves of each token's position are from what can be told from its hidden state.

        Rotary positions say how far apart two tokens are, never when one is: answers alone teach that far too slowly.
        """
        angles = positions[..., None] * self._slow_waves()
        told = self.clock(F.rms_norm(hidden.float(), hidden.shape[-1:])).float()
        return F.mse_loss(told, torch.cat([angles.cos(), angles.sin()], dim=-1))

    def _slow_waves(self) -> Tensor:
        waves: Tensor = self.model.model.language_model.rotary_emb.inv_freq
        return waves[len(waves) // 2 :: 2]

    def tokens_in_clip(self, batch: Batch) -> int:
        return batch.times.shape[1] * checkpoint.TOKENS_PER_FRAME


def _balanced(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy, with half of the weight on the few patches that have a class."""
    losses = F.cross_entropy(logits.float().flatten(0, 2), classes.flatten(), reduction="none")
    some = (classes.flatten() > 0).float()
    return sum(((losses * w).sum() / w.sum().clamp(min=1) for w in (some, 1 - some)), losses.new_zeros(()))


def question_mask(batch: Batch, head: int, visual: int) -> Tensor:
    """What text sees, int8 [B, 1, text, head + visual + 1 + text]: 2 always, 1 where a layer keeps its visual KV
    entries, 0 never. Text sees all that stands before the text, and of the text its own question so far; only for
    the answer's tokens, which are decoded, a layer's visual entries can be gone."""
    owner, text = batch.owner, batch.owner.shape[1]
    causal = torch.ones(text, text, dtype=torch.bool, device=owner.device).tril()
    own = (owner[:, :, None] == owner[:, None, :]) & causal
    mask = F.pad(own.to(torch.int8) * 2, (head + visual + 1, 0), value=2)
    mask[:, :, head : head + visual] -= (batch.labels != -100).to(torch.int8)[:, :, None]
    return mask[:, None]


def split_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **_: Any
) -> tuple[Tensor, None]:
    """Causal attention for all that stands before the text, masked attention for the text: only the small second
    part pays for a mask. [B, heads, L, d] -> [B, L, heads, d]."""
    text, visible = attention_mask.shape[-2], attention_mask > module.discarded
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    front = F.scaled_dot_product_attention(
        query[:, :, :-text], key[:, :, :-text], value[:, :, :-text], is_causal=True
    )
    back = F.scaled_dot_product_attention(query[:, :, -text:], key, value, attn_mask=visible)
    return torch.cat([front, back], dim=2).transpose(1, 2), None


def budgeted(features: Tensor, keep: int) -> Tensor:
    """SharpV's selection at the scale that keeps exactly `keep` tokens: [B, T, f, D] -> places int64 [B, keep].

    A token is kept at scale s when its rank in its frame is under s r_t f; so the `keep` smallest values of
    rank / (r_t f) are SharpV's choice at the clip's own s, and every clip of a batch has the same length.
    """
    scores = score(features.detach())
    rank = scores.importance.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    needed = rank / (scores.ratio.clamp(min=1e-4) * features.shape[2])[..., None]
    return needed.flatten(1).topk(keep, dim=1, largest=False).indices.sort(dim=1).values
