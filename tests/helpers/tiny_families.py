"""A tiny random checkpoint of every family, written as the hub's folders are laid out and loaded as any other.

The processors are the real ones and keep what is particular to each: newline, CLS, timestamps, merged pairs of
frames, DeepStack, M-RoPE. Weights are scaled so that greedy answers are decisive and layers differ.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
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

from sharpv_cli.models.loading import LoadedModel, load
from sharpv_cli.models.prompting import build_inputs
from sharpv_cli.settings import ModelSettings, PromptSettings
from sharpv_cli.types import FrameSample, VideoInfo

LAYERS = 3
HEIGHT, WIDTH = 60, 90
QUESTION = "What is shown?"
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 8192,
}
CHATML = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{% for part in turn.content %}"
    "{% if part.type == 'video' %}VIDEO{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VICUNA = (
    "{% for turn in messages %}USER: {% for part in turn.content %}"
    "{% if part.type == 'video' %}VIDEO{% else %}{{ part.text }}{% endif %}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
QWEN_VIDEO = "<|vision_start|><|video_pad|><|vision_end|>"
QWEN_TOKENS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
PICTURE_TOKENS = {"image_token": "<image>", "video_token": "<video>"}


class Words:
    """A byte-level tokenizer with some special tokens, and what a text config has to know of it."""

    def __init__(self, named: dict[str, str], eos: str, pad: str) -> None:
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        bytewise = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
        bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bytewise.decoder = decoders.ByteLevel()
        bytewise.add_special_tokens(list(dict.fromkeys([pad, eos, "<|im_start|>", *named.values()])))
        self.tokenizer = hf.PreTrainedTokenizerFast(
            tokenizer_object=bytewise, eos_token=eos, pad_token=pad, extra_special_tokens=named
        )

    def id(self, token: str) -> int:
        return int(self.tokenizer.convert_tokens_to_ids(token))

    def text(self, **more: Any) -> dict[str, Any]:
        return TEXT | {
            "vocab_size": len(self.tokenizer),
            "bos_token_id": None,
            "eos_token_id": self.tokenizer.eos_token_id,
            "pad_token_id": self.tokenizer.pad_token_id,
            "tie_word_embeddings": False,
            **more,
        }


@dataclass(frozen=True)
class Recipe:
    """How a family's checkpoint is made: its words, its chat template, and its model and processor."""

    make: Callable[[Words], tuple[Any, Any]]
    tokens: dict[str, str] = field(default_factory=lambda: PICTURE_TOKENS)
    video: str = "<video>\n"
    template: str = CHATML
    eos: str = "<|im_end|>"
    pad: str = "<|endoftext|>"


def _vit(side: int, patch: int, layers: int = 2) -> dict[str, Any]:
    return {
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "image_size": side,
        "patch_size": patch,
    }


def _llava_onevision(words: Words) -> tuple[Any, Any]:
    """7 x 7 patches, pooled up to 4 x 4."""
    size = {"height": 56, "width": 56}
    config = hf.LlavaOnevisionConfig(
        vision_config=hf.SiglipVisionConfig(**_vit(56, 8), vision_use_head=False),
        text_config=hf.Qwen2Config(**words.text()),
        image_token_index=words.id("<image>"),
        video_token_index=words.id("<video>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[[56, 56]],
        tie_word_embeddings=False,
    )
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=[[56, 56]]),
        tokenizer=words.tokenizer,
        video_processor=hf.LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=49,
        vision_feature_select_strategy="full",
    )
    return hf.LlavaOnevisionForConditionalGeneration(config), processor


def _llava_next_video(words: Words) -> tuple[Any, Any]:
    """8 x 8 patches, pooled to 4 x 4."""
    size = {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}
    config = hf.LlavaNextVideoConfig(
        vision_config=hf.CLIPVisionConfig(**_vit(56, 7, layers=3), projection_dim=48),
        text_config=hf.LlamaConfig(**words.text()),
        image_token_index=words.id("<image>"),
        video_token_index=words.id("<video>"),
        image_grid_pinpoints=[[56, 56]],
        tie_word_embeddings=False,
    )
    processor = hf.LlavaNextVideoProcessor(
        video_processor=hf.LlavaNextVideoVideoProcessor(**size),
        image_processor=hf.LlavaNextImageProcessor(**size, image_grid_pinpoints=[[56, 56]]),
        tokenizer=words.tokenizer,
        patch_size=7,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return hf.LlavaNextVideoForConditionalGeneration(config), processor


def _video_llava(words: Words) -> tuple[Any, Any]:
    """4 x 4 patches and a CLS token."""
    size = {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}
    config = hf.VideoLlavaConfig(
        vision_config=hf.CLIPVisionConfig(**_vit(56, 14, layers=3), projection_dim=48),
        text_config=hf.LlamaConfig(**words.text()),
        image_token_index=words.id("<image>"),
        video_token_index=words.id("<video>"),
        tie_word_embeddings=False,
    )
    processor = hf.VideoLlavaProcessor(
        image_processor=VideoLlavaImageProcessor(**size),
        video_processor=VideoLlavaVideoProcessor(**size),
        tokenizer=words.tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return hf.VideoLlavaForConditionalGeneration(config), processor


def _qwen(kind: str, vision: dict[str, Any], rope: dict[str, Any]) -> Callable[[Words], tuple[Any, Any]]:
    def make(words: Words) -> tuple[Any, Any]:
        config = getattr(hf, f"{kind}Config")(
            text_config=words.text(
                head_dim=32, rope_parameters={"rope_type": "default", "rope_theta": 1e6, **rope}
            ),
            vision_config={"num_heads": 2, "patch_size": 14, **vision},
            tie_word_embeddings=False,
            **{f"{name}_id": words.id(token) for name, token in QWEN_TOKENS.items()},
        )
        video = hf.Qwen3VLVideoProcessor if kind == "Qwen3VL" else hf.Qwen2VLVideoProcessor
        processor = getattr(hf, f"{kind}Processor")(
            image_processor=hf.Qwen2VLImageProcessor(),
            tokenizer=words.tokenizer,
            video_processor=video(
                size={"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 80}, patch_size=14
            ),
        )
        return getattr(hf, f"{kind}ForConditionalGeneration")(config), processor

    return make


def _internvl(words: Words) -> tuple[Any, Any]:
    """8 x 8 patches, shuffled into 4 x 4 tokens."""
    size = {"height": 56, "width": 56}
    vision = _vit(56, 7) | {"image_size": [56, 56], "patch_size": [7, 7]}
    config = hf.InternVLConfig(
        vision_config=hf.InternVLVisionConfig(**vision),
        text_config=hf.Qwen2Config(**words.text()),
        image_token_id=words.id("<IMG_CONTEXT>"),
        image_seq_length=16,
        tie_word_embeddings=False,
    )
    processor = hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(size=size),
        tokenizer=words.tokenizer,
        video_processor=InternVLVideoProcessor(size=size),
        image_seq_length=16,
    )
    return hf.InternVLForConditionalGeneration(config), processor


def _smolvlm(words: Words) -> tuple[Any, Any]:
    """8 x 8 patches, shuffled into 4 x 4 tokens."""
    side = {"longest_edge": 64}
    config = hf.SmolVLMConfig(
        vision_config=hf.SmolVLMVisionConfig(**_vit(64, 8)),
        text_config=hf.LlamaConfig(**words.text()),
        scale_factor=2,
        image_token_id=words.id("<image>"),
        tie_word_embeddings=False,
    )
    processor = hf.SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(max_image_size=side),
        tokenizer=words.tokenizer,
        video_processor=SmolVLMVideoProcessor(size=side, max_image_size=side, num_frames=8, fps=1),
        image_seq_len=16,
    )
    return hf.SmolVLMForConditionalGeneration(config), processor


def _video_llama_3(words: Words) -> tuple[Any, Any]:
    config = hf.VideoLlama3Config(
        vision_config={
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "patch_size": 14,
        },
        text_config=hf.Qwen2Config(**words.text()),
        image_token_id=words.id("<image>"),
        video_token_id=words.id("<video>"),
        tie_word_embeddings=False,
    )
    processor = hf.VideoLlama3Processor(
        image_processor=VideoLlama3ImageProcessor(),
        tokenizer=words.tokenizer,
        video_processor=VideoLlama3VideoProcessor(
            size={"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 80}
        ),
    )
    return hf.VideoLlama3ForConditionalGeneration(config), processor


def _perception_lm(words: Words) -> tuple[Any, Any]:
    """4 x 4 patches, pooled to 2 x 2."""
    size = {"height": 56, "width": 56}
    tower = hf.TimmWrapperConfig(
        architecture="vit_pe_core_tiny_patch16_384",
        model_args={
            "img_size": [56, 56],
            "patch_size": 14,
            "embed_dim": 48,
            "depth": 2,
            "num_heads": 2,
            "global_pool": "",
            "use_post_transformer_norm": False,
            "init_values": 0.1,
            "ref_feat_shape": [4, 4],
        },
        do_pooling=False,
    )
    config = hf.PerceptionLMConfig(
        vision_config=tower,
        text_config=hf.LlamaConfig(**words.text()),
        vision_use_cls_token=True,
        projector_pooling_ratio=2,
        image_token_id=words.id("<|image|>"),
        video_token_id=words.id("<|video|>"),
        tie_word_embeddings=False,
    )
    processor = hf.PerceptionLMProcessor(
        video_processor=PerceptionLMVideoProcessor(size=size),
        image_processor=PerceptionLMImageProcessor(tile_size=56, max_num_tiles=1, size=size),
        tokenizer=words.tokenizer,
        patch_size=14,
        pooling_ratio=2,
    )
    return hf.PerceptionLMForConditionalGeneration(config), processor


_TOWER2 = {"depth": 2, "embed_dim": 48, "hidden_size": 64, "mlp_ratio": 2}
_TOWER25 = {"depth": 2, "hidden_size": 48, "out_hidden_size": 64, "intermediate_size": 64}
_TOWER3 = _TOWER25 | {"depth": 3, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}

RECIPES: dict[str, Recipe] = {
    "llava_onevision": Recipe(_llava_onevision),
    "llava_next_video": Recipe(_llava_next_video, template=VICUNA, eos="</s>", pad="<unk>"),
    "video_llava": Recipe(_video_llava, template=VICUNA, eos="</s>", pad="<unk>"),
    "qwen2_vl": Recipe(_qwen("Qwen2VL", _TOWER2, {"mrope_section": [4, 6, 6]}), QWEN_TOKENS, QWEN_VIDEO),
    "qwen2_5_vl": Recipe(
        _qwen(
            "Qwen2_5_VL",
            _TOWER25 | {"window_size": 56, "fullatt_block_indexes": [1]},
            {"mrope_section": [4, 6, 6]},
        ),
        QWEN_TOKENS,
        QWEN_VIDEO,
    ),
    "qwen3_vl": Recipe(
        _qwen("Qwen3VL", _TOWER3, {"mrope_section": [6, 5, 5], "mrope_interleaved": True}),
        QWEN_TOKENS,
        QWEN_VIDEO,
    ),
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
            **PICTURE_TOKENS,
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


def write_checkpoint(family: str, folder: Path) -> Path:
    """Write config, weights, tokenizer, processor and chat template of `family` into `folder`."""
    recipe = RECIPES[family]
    words = Words(recipe.tokens, recipe.eos, recipe.pad)
    torch.manual_seed(0)
    model, processor = recipe.make(words)
    _scale(model)
    model.generation_config = hf.GenerationConfig(pad_token_id=words.tokenizer.pad_token_id)
    processor.chat_template = recipe.template.replace("VIDEO", recipe.video)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@torch.no_grad()
def _scale(model: torch.nn.Module) -> None:
    for name, weight in model.named_parameters():
        if "embed_tokens" in name:
            weight.normal_(0, 1)
        elif weight.dim() >= 2:
            weight.normal_(0, 1.3 / weight[0].numel() ** 0.5)
        elif "lambda" in name or "gamma" in name:
            weight.fill_(0.5)


@cache
def folder(family: str) -> Path:
    path = Path(tempfile.mkdtemp(prefix=f"sharpv-{family}-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return write_checkpoint(family, path)


@cache
def loaded(family: str, attention: str = "sdpa") -> LoadedModel:
    settings = ModelSettings.model_validate({"id": str(folder(family)), "attention": attention})
    return load(settings, "cpu")


def clip(
    times: tuple[float, ...] = tuple(t / 2 for t in range(7)), height: int = HEIGHT, width: int = WIDTH
) -> tuple[VideoInfo, FrameSample]:
    """Noise that a coloured box moves over; the lower half changes in the middle. Seven frames at 2 fps."""
    draw = np.random.default_rng(0)
    images = np.repeat(draw.integers(0, 255, (1, height, width, 3), dtype=np.uint8), len(times), axis=0)
    for t, image in enumerate(images):
        left = t * (width - width // 4) // len(times)
        image[: height // 3, left : left + width // 4] = draw.integers(0, 255, 3)
        if t >= len(times) // 2:
            image[height // 2 :] = 255 - image[height // 2 :]
    duration = times[-1] + 0.5
    info = VideoInfo("clip.mp4", "mp4", "h264", width, height, 0, len(times) / duration, duration, len(times))
    return info, FrameSample("uniform", images, tuple(range(len(times))), times)


def inputs(model: LoadedModel, question: str = QUESTION, **shape: Any) -> dict[str, torch.Tensor]:
    return build_inputs(model, *clip(**shape), question, PromptSettings())
