"""What prompts about one video have in common: all up to the last visual token, where their texts do not differ."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sharpv_cli.models.capture import VisualPrompt
from sharpv_cli.models.loading import LoadedModel


@dataclass(frozen=True, slots=True)
class CommonPrompt:
    """A captured prompt up to its last visual token.

    `next_position` int64 [1, 1] or [3, 1, 1]: where text goes on. The prompt of another question can be made from it
    without the video where it begins with the same tokens: it is what the stock front end would hand over.
    """

    head: VisualPrompt
    next_position: Tensor

    @torch.no_grad()
    def ask(self, loaded: LoadedModel, ids: Tensor) -> tuple[VisualPrompt, int] | None:
        """The whole prompt of tokens `ids`, int64 [1, N], and how many of them are its own, behind what is common.

        None where it does not begin with what is common: a chat template may write the question before the video.
        """
        length = len(self.head)
        ids = ids.to(self.head.input_ids.device)
        rest = ids[:, length:]
        if not rest.numel() or not torch.equal(ids[:, :length], self.head.input_ids):
            return None
        if (rest == _placeholder(self.head)).any():
            return None
        positions = self.next_position + torch.arange(rest.shape[1], device=rest.device)
        return self.head.extend(rest, loaded.model.get_input_embeddings()(rest), positions), rest.shape[1]


def common_of(whole: VisualPrompt) -> CommonPrompt | None:
    """What other prompts may have in common with `whole`; None where no text follows the video, or counts otherwise."""
    length = int((whole.input_ids[0] == _placeholder(whole)).nonzero().max()) + 1
    after = whole.position_ids[..., length:]
    if not after.numel():
        return None
    start = after[..., :1]
    if not torch.equal(after, start + torch.arange(after.shape[-1], device=after.device)):
        return None
    return CommonPrompt(whole.head(length), start)


def _placeholder(prompt: VisualPrompt) -> int:
    return int(prompt.input_ids[0, prompt.slots[0, 0]])
