"""Train the built-in model: `python -m sharpv_cli.training.train OUT --minutes 9 [--resume OUT] [--cooldown 0.5]`.

Training can be cut into pieces: a piece starts from nothing or from a checkpoint's weights alone, warms its
optimizers up, and writes a complete checkpoint folder. The last piece cools the learning rate down.

Two kinds of steps alternate. Dense steps train everything end to end, with a dense auxiliary loss on the vision
tower. Pruned steps train the language model on SharpV's own selection at a random budget; their features are
detached, so that the tower never learns to spread what it saw over tokens that may be dropped.

In a part of the steps some of the deeper layers hide the video from the answer's own tokens, as Memory SharpV does
while decoding, so that the model learns to take what it needs while it reads the question.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AttentionInterface

from sharpv_cli.models.inspecting import inspect
from sharpv_cli.models.parts import read_config, read_model
from sharpv_cli.settings import ModelSettings
from sharpv_cli.training import checkpoint
from sharpv_cli.training.log import Log
from sharpv_cli.training.regimes import REGIMES, WORLD_REGIMES, weighted
from sharpv_cli.training.trainee import split_attention
from sharpv_cli.training.trainer import Trainer

WARM_UP = 150  # steps
_AUXILIARY = 0.5  # of the answers' weight
_LOOK_EVERY = 10  # steps: the log's sample


def learning_rate(progress: float, step: int, cooldown: float, warm_up: int = WARM_UP) -> float:
    """Of the peak: warm up over so many steps, hold, and cool down to 2 % over the last `cooldown` of the time."""
    warm = min(1.0, (step + 1) / warm_up)
    return warm if progress < 1 - cooldown else warm * max(0.02, (1 - progress) / cooldown)


def train(
    trainer: Trainer,
    minutes: float,
    cooldown: float,
    peak: float = 1.0,
    warm_up: int = WARM_UP,
    log_every: float = 30.0,
) -> dict[str, Any]:
    """Step until the time is over, at most `peak` times the full learning rates; figures for the model card."""
    rng = random.Random(trainer.seed)
    start, logged, log, step, clips = time.monotonic(), time.monotonic(), Log(), 0, 0
    while (progress := (time.monotonic() - start) / (60 * minutes)) < 1:
        regime = rng.choices(trainer.regimes, [r.share for r in trainer.regimes])[0]
        rate = peak * learning_rate(progress, step, cooldown, warm_up)
        if looked_at := (step + 1) % _LOOK_EVERY == 0:
            _finish(trainer.device)
        began = time.monotonic()
        # New heads know nothing: until they do, their loss should not shake what the tower knows.
        auxiliary = _AUXILIARY * min(1.0, (step + 1) / warm_up)
        loss, right, batch = trainer.step(regime, rate, auxiliary)
        step, clips = step + 1, clips + len(batch.ids)
        if looked_at:
            _finish(trainer.device)
            log.add(regime, batch, right, time.monotonic() - began)
        if step == 1 or time.monotonic() - logged > log_every:
            logged = time.monotonic()
            print(
                f"{logged - start:5.0f} s  step {step}  clips {clips}  rate {rate:.2f}  loss {loss.item():.4f}"
                f"  waited {trainer.waited:.1f} s for batches"
            )
            print(*log.lines(), sep="\n", flush=True)
    return {"steps": step, "clips": clips, "minutes": minutes, "waited_sec": round(trainer.waited, 1)}


def _finish(device: str) -> None:
    """Wait until a GPU has done all that it was given, so that a step's time is its own."""
    if device == "cuda":
        torch.cuda.synchronize()


def _start(folder: Path | None) -> tuple[Any, Any]:
    """Tokenizer and model of a checkpoint folder, or new ones."""
    if folder is None:
        tokenizer = checkpoint.train_tokenizer()
        return tokenizer, checkpoint.build_model(tokenizer)
    found = inspect(folder, ModelSettings(id=str(folder)))
    model, _ = read_model(found, read_config(found.config, found.name), dtype=torch.float32)
    return checkpoint.load_tokenizer(folder), model


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for the finished checkpoint")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--resume", type=Path, help="start from this checkpoint's weights")
    parser.add_argument(
        "--cooldown", type=float, default=0.0, help="share of the time in which the rate falls"
    )
    parser.add_argument("--peak", type=float, default=1.0, help="of the full learning rates")
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="steps")
    parser.add_argument(
        "--other-words", type=float, default=0.0, help="share of questions in wordings beside the benchmark's"
    )
    parser.add_argument("--language-only", action="store_true", help="leave the vision tower as it is")
    parser.add_argument("--worlds", action="store_true", help="hard and long clips and scenery as well")
    parser.add_argument(
        "--shares", default="{}", help='factors of the worlds\' shares, as JSON: {"shapes": 2}'
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--clip-frames", type=int, default=1536, help="frames a step: clips times frames a clip"
    )
    parser.add_argument("--seed", default="1", help="pieces of one training need different seeds")
    parser.add_argument("--max-shard-size", default="30MB")
    args = parser.parse_args(arguments)
    AttentionInterface.register("shapes_split", split_attention)
    tokenizer, model = _start(args.resume)
    model.model.language_model.config._attn_implementation = "shapes_split"
    trainer = Trainer(
        model,
        tokenizer,
        args.device,
        args.clip_frames,
        args.seed,
        other_words=args.other_words,
        language_only=args.language_only,
        regimes=weighted(WORLD_REGIMES if args.worlds else REGIMES, json.loads(args.shares)),
    )
    figures = train(trainer, args.minutes, args.cooldown, args.peak, args.warm_up)
    model.model.language_model.config._attn_implementation = "sdpa"
    checkpoint.save(
        model, checkpoint.build_processor(tokenizer), args.out, max_shard_size=args.max_shard_size
    )
    if args.device == "cuda":
        figures["memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
    print(json.dumps({**figures, "device": args.device, "torch": torch.__version__, "seed": args.seed}))


if __name__ == "__main__":
    main()
