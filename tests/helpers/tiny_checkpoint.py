"""A random LLaVA-OneVision checkpoint, small enough to write in a second, for tests that need a real folder.

64 px, patch 8: 8 x 8 patches pooled to 4 x 4 = 16 tokens a frame. The weights are scaled so that greedy
answers are decisive and the hidden states leave the visual embeddings with depth: some layers fall below
M = 0.2.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)
from transformers.models.llava_onevision.image_processing_llava_onevision import (
    LlavaOnevisionImageProcessor,
)
from transformers.models.llava_onevision.video_processing_llava_onevision import (
    LlavaOnevisionVideoProcessor,
)

SIDE = 64
PATCH = 8
TOKENS_PER_FRAME = 16
LAYERS = 6

CORPUS = [
    "What is shown in this video? A red square moves from the left to the right and then stops.",
    "Describe the video in detail. Grüße, naïve café, 日本語 and 🎬 are bytes as well.",
] * 4
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"]
# The template that the published LLaVA-OneVision checkpoints carry, text and video parts only.
CHAT_TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }} "
    "{% for part in turn.content %}{% if part.type == 'video' %}<video>{% endif %}{% endfor %}"
    "{% for part in turn.content %}{% if part.type == 'text' %}{{ '\\n' + part.text }}{% endif %}{% endfor %}"
    "<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_checkpoint(folder: Path, *, max_positions: int = 4096, seed: int = 0) -> Path:
    """Write config, weights, tokenizer and processor into `folder`, as the hub's folders are laid out."""
    tokenizer = _tokenizer()
    model = _model(tokenizer, max_positions, seed)
    model.save_pretrained(folder)
    _processor(tokenizer).save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE(unk_token=None))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=SPECIALS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
        padding_side="left",
    )


def _processor(tokenizer: PreTrainedTokenizerFast) -> LlavaOnevisionProcessor:
    size = {"height": SIDE, "width": SIDE}
    return LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=[[SIDE, SIDE]]),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=(SIDE // PATCH) ** 2,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
    )


def _model(
    tokenizer: PreTrainedTokenizerFast, max_positions: int, seed: int
) -> LlavaOnevisionForConditionalGeneration:
    torch.manual_seed(seed)
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=3,
            image_size=SIDE,
            patch_size=PATCH,
            vision_use_head=False,
        ),
        text_config=Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=LAYERS,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=max_positions,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[[SIDE, SIDE]],
        tie_word_embeddings=False,
    )
    model = LlavaOnevisionForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(_gain(name) if weight.dim() >= 2 else 1.0)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    return model


def _gain(name: str) -> float:
    """What to scale the default weights (std 0.02) by: flat logits otherwise."""
    if "embed_tokens" in name:
        return 50.0
    if "language_model" in name and ("o_proj" in name or "down_proj" in name):
        return 800.0
    if "language_model" in name and ("q_proj" in name or "k_proj" in name):
        return 12.0
    return 40.0 if "lm_head" in name else 8.0
