"""What the prompts of one video have in common: all of them up to the question, which comes after the video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sharpv_cli.models.door import VisualPrompt
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.models.prompting import render

if TYPE_CHECKING:
    from sharpv_cli.settings import PromptSettings


@dataclass(frozen=True, slots=True)
class Stem:
    """A captured prompt without its tail, the text after the last visual token.

    `next_position` int64 [1, 1] or [3, 1, 1]: where a tail begins. Any question can be put behind it without
    the video: the result is what the stock front end would hand over for it.
    """

    head: VisualPrompt
    next_position: Tensor

    def ask(self, loaded: LoadedModel, question: str, prompt: PromptSettings) -> tuple[VisualPrompt, int]:
        """The whole prompt of a question, and how many tokens its tail has.

        Raises UsageError when the question holds one of the model's own placeholders.
        """
        ids = _tail_ids(loaded, self.head, question, prompt)
        embeds = loaded.model.get_input_embeddings()(ids)
        positions = self.next_position + torch.arange(ids.shape[1], device=ids.device)
        return self.head.extend(ids, embeds, positions), ids.shape[1]


@torch.no_grad()
def stem_of(loaded: LoadedModel, whole: VisualPrompt, question: str, prompt: PromptSettings) -> Stem | None:
    """The stem of the prompt `whole`, which was made for `question`.

    None where the tail, tokenized by itself, is not how the prompt ends: then nothing is known to be common.
    """
    tail = _tail_ids(loaded, whole, question, prompt)
    start = len(whole) - tail.shape[1]
    if int(whole.slots.max()) >= start or not torch.equal(whole.input_ids[:, start:], tail):
        return None
    return Stem(whole.head(start), whole.position_ids[..., start : start + 1])


def _tail_ids(loaded: LoadedModel, whole: VisualPrompt, question: str, prompt: PromptSettings) -> Tensor:
    """The tokens of the text after the video, int64 [1, q].

    They are read behind a visual token, as in the prompt: tokenizers treat the beginning of a text otherwise.
    """
    anchor = loaded.tokenizer.convert_ids_to_tokens(int(whole.input_ids[0, whole.slots.max()]))
    text = anchor + _after_video(loaded, render(loaded, question, prompt))
    ids: Tensor = loaded.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    return ids[:, 1:].to(whole.input_ids.device)


def _after_video(loaded: LoadedModel, text: str) -> str:
    """What follows the last placeholder in a rendered chat template."""
    names = (getattr(loaded.processor, name, None) for name in ("video_token", "image_token"))
    return min((text.rpartition(name)[2] for name in names if name), key=len)
