"""From a question to the text of its prompt, by the checkpoint's chat template; and whether that says all of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sharpv_cli.errors import ModelError, UsageError
from sharpv_cli.models import templates
from sharpv_cli.models.blame import Using
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.models.template_files import default_of
from sharpv_cli.models.tokenizing import count_tokens

if TYPE_CHECKING:
    from sharpv_cli.settings import PromptSettings

_USUAL, _MOST = 1000, 50_000  # characters that templates write around a question
_PASSED = "by the template of the checkpoint"
_PASS = f"{{{{ '{_PASSED}' }}}}"
# How the parts of a message look where a template writes them out instead of what they say.
_PARTS = re.compile(r"""["']type["']\s*:\s*["'](?:text|video)["']""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Chat:
    """What is said to the model. With `plain` the system message is a text and not a list of parts."""

    system: str | None
    asked: str
    plain: bool = False

    @property
    def turns(self) -> list[dict[str, Any]]:
        """The system message if there is one, then video and question, as transformers' templates take them."""
        user = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": self.asked}]}
        if self.system is None:
            return [user]
        system = self.system if self.plain else [{"type": "text", "text": self.system}]
        return [{"role": "system", "content": system}, user]

    def written_out(self, text: str) -> bool:
        """Whether `text` holds the parts of a message themselves."""
        own = len(_PARTS.findall(f"{self.system}\n{self.asked}"))
        return len(_PARTS.findall(text)) > own


def render(loaded: LoadedModel, question: str, prompt: PromptSettings) -> str:
    """The text of the prompt by the checkpoint's chat template, with one placeholder, where the video goes.

    Raises UsageError where the question holds a placeholder, ModelError where the template fails, takes too long,
    writes too much, or leaves out something of what was asked.
    """
    asked = "\n".join(text for text in (prompt.prefix, question, prompt.suffix) if text is not None)
    _refuse_placeholders(loaded, "question", asked)
    _refuse_placeholders(loaded, "system prompt", prompt.system or "")
    chat, text = _rendered(loaded, Chat(prompt.system, asked))
    _require_brevity(loaded, chat, text)
    _require_video(loaded, chat, text)
    if _by_template(loaded, replace(chat, asked=_altered(chat.asked))) == text:
        raise _fault(loaded, "leaves out the question, or its end")
    if chat.plain and _leaves_out_system(loaded, chat, text):
        raise _fault(loaded, "leaves out the system prompt", "ask without --system, or ")
    return text


def _require_brevity(loaded: LoadedModel, chat: Chat, text: str) -> None:
    """Raise ModelError where a template writes so much around the question that hardly any has room beside it."""
    own = len(chat.asked) + len(chat.system or "")
    if len(text) - own <= _USUAL:
        return
    if len(text) - own > _MOST:
        raise _fault(loaded, f"writes {len(text) - own:,} characters around the question")
    tokens = count_tokens(loaded, text) - count_tokens(loaded, f"{chat.system or ''}{chat.asked}")
    if loaded.context is not None and 2 * tokens > loaded.context:
        raise _fault(
            loaded,
            f"writes {tokens} tokens around the question, of the {loaded.context} that the model can read",
        )


def _rendered(loaded: LoadedModel, chat: Chat) -> tuple[Chat, str]:
    """Templates of processors take a message's parts; some take the text of a system message only, and get it."""
    plain = replace(chat, plain=True)
    try:
        text = _by_template(loaded, chat)
        parts = chat.system is None or not (chat.written_out(text) or _leaves_out_system(loaded, chat, text))
    except ModelError:
        if chat.system is None:
            raise
        parts = False
    return (chat, text) if parts else (plain, _by_template(loaded, plain))


def _leaves_out_system(loaded: LoadedModel, chat: Chat, text: str) -> bool:
    return (
        bool(chat.system) and _by_template(loaded, replace(chat, system=_altered(chat.system or ""))) == text
    )


def _by_template(loaded: LoadedModel, chat: Chat) -> str:
    """As the processor's `apply_chat_template` gives it, but a template of the checkpoint's is rendered with bounds."""
    processor, own = loaded.processor, loaded.processor.chat_template
    with Using("processor", loaded.info.id):
        processor.chat_template = _PASS
        try:
            text: str = processor.apply_chat_template(chat.turns, add_generation_prompt=True)
        finally:
            processor.chat_template = own
        names = loaded.tokenizer.special_tokens_map
    if text != _PASSED:  # transformers' own in the place of the checkpoint's: SmolVLM's for videos
        return text
    try:
        return templates.rendered(default_of(own), chat.turns, names)
    except templates.TemplateError as error:
        raise _fault(loaded, f"cannot be used: {error}") from error


def _require_video(loaded: LoadedModel, chat: Chat, text: str) -> None:
    """Raise ModelError where the prompt does not hold the video once."""
    if chat.written_out(text):
        raise _fault(loaded, "takes messages of text only, and has no place for a video")
    count = text.count(loaded.processor.video_token)
    if count != 1:
        raise _fault(loaded, f"puts the video in {count} times" if count else "leaves out the video")


def _altered(said: str) -> str:
    """With another last letter: a prompt that says all of it is another one then, also in small or capital letters."""
    body = said.rstrip()
    return body[:-1] + ("y" if body.endswith(("x", "X")) else "x")


def _fault(loaded: LoadedModel, what: str, first: str = "") -> ModelError:
    return ModelError(
        f"{loaded.info.id}: its chat template ({loaded.template_file}) {what}",
        hint=f"{first}mend {loaded.template_file}, or take it from another checkpoint of {loaded.family.name}",
    )


def _refuse_placeholders(loaded: LoadedModel, what: str, text: str) -> None:
    """A placeholder in the text would be taken for a second video, or for the frame of one."""
    for placeholder in placeholders(loaded):
        if placeholder in text:
            raise UsageError(
                f"the {what} holds {placeholder!r}, which the model reads as a place for pictures",
                hint="write it in another way",
            )


def placeholders(loaded: LoadedModel) -> list[str]:
    """Words that stand for pictures, or around them: those of the processor, and of the family."""
    own = [value for name, value in vars(loaded.processor).items() if name.endswith("_token")]
    return sorted({word for word in own if isinstance(word, str) and word} | set(loaded.family.markers))
