"""Tokenizers and processors for checkpoints with random weights: the stock classes, at the published sizes.

What a processor does to frames and where it puts placeholders is real; the words are not: text is spelled in
bytes, and the rest of the vocabulary is made up, so that whatever a random model says is readable.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers.models.internvl.video_processing_internvl import InternVLVideoProcessor
from transformers.models.perception_lm.image_processing_perception_lm import PerceptionLMImageProcessor
from transformers.models.perception_lm.video_processing_perception_lm import PerceptionLMVideoProcessor
from transformers.models.smolvlm.image_processing_smolvlm import SmolVLMImageProcessor
from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor
from transformers.models.video_llama_3.image_processing_video_llama_3 import VideoLlama3ImageProcessor
from transformers.models.video_llama_3.video_processing_video_llama_3 import VideoLlama3VideoProcessor
from transformers.models.video_llava.image_processing_video_llava import VideoLlavaImageProcessor
from transformers.models.video_llava.video_processing_video_llava import VideoLlavaVideoProcessor

Limits = Mapping[str, Any]
Build = Callable[[Any, Any, Limits], Any]

_CHATML = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{% for part in turn.content %}"
    "{% if part.type == 'video' %}VIDEO{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_VICUNA = (
    "{% for turn in messages %}USER: {% for part in turn.content %}"
    "{% if part.type == 'video' %}VIDEO{% else %}{{ part.text }}{% endif %}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
_PICTURES = {"image_token": "<image>", "video_token": "<video>"}
_QWEN = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
# What a config calls the id of a token, where that is not the processor's name for it.
_CALLED = {"context_image_token": "image_token_id"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is particular to a family: its processor, from tokenizer, config and the video processor's limits;
    its special tokens by the processor's names; `video`, what its chat template has for a video."""

    processor: Build
    tokens: Mapping[str, str] = field(default_factory=lambda: _PICTURES)
    video: str = "<video>\n"
    template: str = _CHATML
    eos: str = "<|im_end|>"
    pad: str = "<|endoftext|>"


def build_processor(config: Any, limits: Limits) -> Any:
    """The stock processor of `config`'s family, with a tokenizer of exactly its vocabulary size.

    `config` is transformers' config object, `limits` the arguments that the checkpoint's video processor has.
    """
    recipe = RECIPES[config.model_type]
    processor = recipe.processor(_tokenizer(config, recipe), config, limits)
    processor.chat_template = recipe.template.replace("VIDEO", recipe.video)
    return processor


def _tokenizer(config: Any, recipe: Recipe) -> Any:
    bytewise = Tokenizer(models.BPE(vocab=_vocabulary(config, recipe), merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    bytewise.add_special_tokens(_special(recipe))
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=bytewise,
        eos_token=recipe.eos,
        pad_token=recipe.pad,
        extra_special_tokens=dict(recipe.tokens),
        padding_side="left",
    )


def _special(recipe: Recipe) -> list[str]:
    return list(dict.fromkeys([*recipe.tokens.values(), recipe.eos, recipe.pad, "<|im_start|>"]))


def _vocabulary(config: Any, recipe: Recipe) -> dict[str, int]:
    """Special tokens at the ids that the config has for them, else at the last free ones; then bytes and words."""
    placed = _ids_of_config(config, recipe)
    free = [i for i in range(config.get_text_config().vocab_size) if i not in set(placed.values())]
    for token in _special(recipe):
        if token not in placed:
            placed[token] = free.pop()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    return placed | dict(zip(itertools.chain(letters, _words()), free, strict=False))


def _ids_of_config(config: Any, recipe: Recipe) -> dict[str, int]:
    text = config.get_text_config()
    named = [
        (token, getattr(config, _CALLED.get(name, f"{name}_id"), None))
        for name, token in recipe.tokens.items()
    ]
    named += [
        (recipe.eos, getattr(text, "eos_token_id", None)),
        (recipe.pad, getattr(text, "pad_token_id", None)),
    ]
    placed: dict[str, int] = {}
    for token, number in named:
        if isinstance(number, int) and number < text.vocab_size and number not in placed.values():
            placed.setdefault(token, number)
    return placed


def _words() -> itertools.chain[str]:
    """421,875 words of three syllables, each with a space before it."""
    syllables = [consonant + vowel for consonant in "bdfghklmnprstvz" for vowel in "aeiou"]
    return itertools.chain("Ġ" + "".join(word) for word in itertools.product(syllables, repeat=3))


def _side(config: Any) -> int:
    side: int = config.vision_config.image_size
    return side


def _llava_onevision(tokenizer: Any, config: Any, limits: Limits) -> Any:
    return hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=limits["size"]),
        tokenizer=tokenizer,
        video_processor=hf.LlavaOnevisionVideoProcessor(**limits),
        num_image_tokens=(_side(config) // config.vision_config.patch_size) ** 2,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
    )


def _llava_next_video(tokenizer: Any, config: Any, limits: Limits) -> Any:
    return hf.LlavaNextVideoProcessor(
        video_processor=hf.LlavaNextVideoVideoProcessor(**limits),
        image_processor=hf.LlavaNextImageProcessor(**limits),
        **_clip(tokenizer, config),
    )


def _video_llava(tokenizer: Any, config: Any, limits: Limits) -> Any:
    return hf.VideoLlavaProcessor(
        image_processor=VideoLlavaImageProcessor(**limits),
        video_processor=VideoLlavaVideoProcessor(**limits),
        **_clip(tokenizer, config),
    )


def _clip(tokenizer: Any, config: Any) -> dict[str, Any]:
    """What the processors of families with a CLIP tower, which has a CLS token, take besides."""
    return {
        "tokenizer": tokenizer,
        "patch_size": config.vision_config.patch_size,
        "vision_feature_select_strategy": config.vision_feature_select_strategy,
        "num_additional_image_tokens": 1,
    }


def _qwen(kind: str) -> Build:
    def build(tokenizer: Any, _config: Any, limits: Limits) -> Any:
        video = hf.Qwen3VLVideoProcessor if kind == "Qwen3VL" else hf.Qwen2VLVideoProcessor
        return getattr(hf, f"{kind}Processor")(
            image_processor=hf.Qwen2VLImageProcessor(**limits),
            tokenizer=tokenizer,
            video_processor=video(**limits),
        )

    return build


def _internvl(tokenizer: Any, config: Any, limits: Limits) -> Any:
    return hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(**limits),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(**limits),
        image_seq_length=config.image_seq_length,
    )


def _smolvlm(tokenizer: Any, _config: Any, limits: Limits) -> Any:
    rest = {name: value for name, value in limits.items() if name != "image_seq_len"}
    return hf.SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(max_image_size=limits["max_image_size"]),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(**rest, num_frames=64, fps=1),
        image_seq_len=limits["image_seq_len"],
    )


def _video_llama_3(tokenizer: Any, _config: Any, limits: Limits) -> Any:
    return hf.VideoLlama3Processor(
        image_processor=VideoLlama3ImageProcessor(),
        tokenizer=tokenizer,
        video_processor=VideoLlama3VideoProcessor(**limits),
    )


def _perception_lm(tokenizer: Any, config: Any, limits: Limits) -> Any:
    side = limits["size"]["height"]
    return hf.PerceptionLMProcessor(
        video_processor=PerceptionLMVideoProcessor(**limits),
        image_processor=PerceptionLMImageProcessor(tile_size=side, max_num_tiles=36, **limits),
        tokenizer=tokenizer,
        patch_size=14,
        pooling_ratio=config.projector_pooling_ratio,
    )


_QWEN_VIDEO = "<|vision_start|><|video_pad|><|vision_end|>"

RECIPES: Mapping[str, Recipe] = {
    "llava_onevision": Recipe(_llava_onevision),
    "llava_next_video": Recipe(_llava_next_video, template=_VICUNA, eos="</s>", pad="<pad>"),
    "video_llava": Recipe(_video_llava, template=_VICUNA, eos="</s>", pad="<pad>"),
    "qwen2_vl": Recipe(_qwen("Qwen2VL"), _QWEN, _QWEN_VIDEO),
    "qwen2_5_vl": Recipe(_qwen("Qwen2_5_VL"), _QWEN, _QWEN_VIDEO),
    "qwen3_vl": Recipe(_qwen("Qwen3VL"), _QWEN, _QWEN_VIDEO),
    "internvl": Recipe(
        _internvl,
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    ),
    "smolvlm": Recipe(
        _smolvlm,
        {
            **_PICTURES,
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
            "end_of_utterance_token": "<end_of_utterance>",
        },
        eos="<end_of_utterance>",
    ),
    "video_llama_3": Recipe(_video_llama_3),
    "perception_lm": Recipe(
        _perception_lm,
        {"image_token": "<|image|>", "video_token": "<|video|>"},
        video="<|video|>",
        eos="<|eot_id|>",
        pad="<|end_of_text|>",
    ),
}
