"""The built-in model before training: tokenizer, processor and configuration of a small LLaVA-OneVision."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

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
from transformers.models.llava_onevision.image_processing_llava_onevision import LlavaOnevisionImageProcessor
from transformers.models.llava_onevision.video_processing_llava_onevision import LlavaOnevisionVideoProcessor

from sharpv_cli.shapes.questions import sample_question
from sharpv_cli.shapes.world import sample_scene

IMAGE_SIZE = 128
PATCH_SIZE = 8
GRID = IMAGE_SIZE // PATCH_SIZE  # patches a side
TOKENS_PER_FRAME = (GRID // 2) ** 2  # after the 2x2 pooling
VISION_WIDTH = 192
CONTEXT = 8192  # positions: 127 frames and a question

PAD, IM_START, IM_END, IMAGE, VIDEO = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"

# The published LLaVA-OneVision template, for one or more turns with the video first.
CHAT_TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }} "
    "{% if turn.content is string %}{{ '\\n' + turn.content }}{% else %}"
    "{% for part in turn.content %}{% if part.type == 'image' %}<image>"
    "{% elif part.type == 'video' %}<video>{% endif %}{% endfor %}"
    "{% for part in turn.content %}{% if part.type == 'text' %}{{ '\\n' + part.text }}{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{{ '\\n' }}{% endif %}"
)


def train_tokenizer(vocabulary: int = 1024, clips: int = 6000) -> Any:
    """A byte-level BPE over the benchmark's own questions and answers: any text can be asked, known text is short."""
    rng = random.Random("sharpv tokenizer")
    texts = []
    for _ in range(clips):
        scene = sample_scene(rng)
        for _ in range(4):
            question = sample_question(scene, rng)
            texts += [f"\n{question.text}", question.answer]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, IM_START, IM_END, IMAGE, VIDEO],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["user ", "assistant\n", *texts], trainer)
    return tokenizer


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a checkpoint folder, for a training that goes on."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def build_processor(tokenizer: Any) -> Any:
    """The stock LLaVA-OneVision processor at this model's sizes."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=IM_END,
        pad_token=PAD,
        extra_special_tokens={"image_token": IMAGE, "video_token": VIDEO},
        model_max_length=CONTEXT,
        padding_side="left",
    )
    look = {
        "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    pinpoints = [[IMAGE_SIZE, IMAGE_SIZE]]
    return LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(**look, image_grid_pinpoints=pinpoints),
        video_processor=LlavaOnevisionVideoProcessor(**look),
        tokenizer=fast,
        num_image_tokens=GRID**2,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
    )


def build_model(tokenizer: Any, seed: int = 0) -> Any:
    """The untrained model, 11 M parameters, float32."""
    ids = {name: tokenizer.token_to_id(name) for name in (PAD, IM_START, IM_END, IMAGE, VIDEO)}
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(
            hidden_size=VISION_WIDTH,
            intermediate_size=4 * VISION_WIDTH,
            num_hidden_layers=6,
            num_attention_heads=3,
            image_size=IMAGE_SIZE,
            patch_size=PATCH_SIZE,
            vision_use_head=False,
        ),
        text_config=Qwen2Config(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=256,
            intermediate_size=768,
            num_hidden_layers=10,
            num_attention_heads=8,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=ids[IM_END],
            pad_token_id=ids[PAD],
        ),
        image_token_index=ids[IMAGE],
        video_token_index=ids[VIDEO],
        image_grid_pinpoints=[[IMAGE_SIZE, IMAGE_SIZE]],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = LlavaOnevisionForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        eos_token_id=ids[IM_END], pad_token_id=ids[PAD], do_sample=False, max_new_tokens=64
    )
    return model


def save(model: Any, processor: Any, folder: Path, *, max_shard_size: str = "30MB") -> None:
    """Write a checkpoint folder as float16 safetensors; the model itself stays as it is."""
    half = copy.deepcopy(model).to("cpu", torch.float16)
    for part in (half.config.text_config, half.config.vision_config):
        part.dtype = torch.float16
    half.save_pretrained(folder, max_shard_size=max_shard_size)
    processor.save_pretrained(folder)
