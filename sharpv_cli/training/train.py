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
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from transformers import AttentionInterface

from sharpv_cli.models.inspecting import inspect
from sharpv_cli.models.parts import read_config, read_model
from sharpv_cli.settings import ModelSettings
from sharpv_cli.shapes.painting import paint_one
from sharpv_cli.shapes.render import background, render
from sharpv_cli.training import checkpoint
from sharpv_cli.training.batches import SHAPES_WORLD, Batch, Batches
from sharpv_cli.training.degrade import degrade
from sharpv_cli.training.muon import StackedMuon
from sharpv_cli.training.targets import Targets, patch_targets, staged_targets
from sharpv_cli.training.trainee import Trainee, budgeted, split_attention
from sharpv_cli.training.worlds import Staged, draw

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Regime:
    """One kind of training step: frames a clip, how many visual tokens a clip keeps (None: all), how often.

    `discards` is the share of these steps in which deep layers hide the video from the answer.
    """

    frames: int
    keep: int | None
    share: float
    discards: float
    world: str = SHAPES_WORLD

    @property
    def name(self) -> str:
        return f"{self.world} {self.frames}f/{self.keep or 'all'}"


REGIMES = (
    Regime(8, None, 0.40, discards=0.3),
    Regime(16, None, 0.10, discards=0.3),
    Regime(8, 64, 0.14, discards=0.6),
    Regime(8, 128, 0.22, discards=0.6),
    Regime(16, 208, 0.14, discards=0.6),
)

# With the other worlds: what the model knows stays half of the steps. Of long clips, few frames with all of their
# tokens are trained as often as many with some; each length of a prompt is compiled once, so there are few.
WORLD_REGIMES = (
    Regime(8, None, 0.20, discards=0.3),
    Regime(16, None, 0.05, discards=0.3),
    Regime(8, 64, 0.08, discards=0.6),
    Regime(8, 128, 0.12, discards=0.6),
    Regime(16, 208, 0.06, discards=0.6),
    Regime(8, None, 0.10, discards=0.3, world="hard"),
    Regime(16, None, 0.04, discards=0.3, world="hard"),
    Regime(8, 128, 0.06, discards=0.6, world="hard"),
    Regime(16, 208, 0.03, discards=0.6, world="hard"),
    Regime(8, None, 0.02, discards=0.3, world="scenery"),
    Regime(8, 128, 0.02, discards=0.6, world="scenery"),
    Regime(4, None, 0.02, discards=0.3, world="long"),
    Regime(8, None, 0.04, discards=0.3, world="long"),
    Regime(16, None, 0.02, discards=0.3, world="long"),
    Regime(32, None, 0.03, discards=0.3, world="long"),
    Regime(64, 512, 0.06, discards=0.6, world="long"),
    Regime(128, 1024, 0.05, discards=0.6, world="long"),
)
_WORKERS = {SHAPES_WORLD: 5, "hard": 3, "long": 2, "scenery": 1}

# The layers before this one stay near their input: Memory SharpV's similarity never falls under 0.2 there.
FIRST_DISCARDED = 3
WARM_UP = 150  # steps


class Trainer:
    """Draws, steps and keeps the log."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        device: str,
        clip_frames: int,
        seed: str,
        *,
        other_words: float = 0.0,
        language_only: bool = False,
        regimes: Sequence[Regime] = REGIMES,
    ) -> None:
        self.device, self.seed, self.rng = device, seed, random.Random(f"discards:{seed}")
        self.trainee = Trainee(model, tokenizer).to(device)
        self.language_only = language_only
        if language_only:
            self.trainee.requires_grad_(False)
            model.model.language_model.requires_grad_(True)
        self.depth = len(model.model.language_model.layers)
        self.generator = torch.Generator(device).manual_seed(random.Random(seed).getrandbits(32))
        trained = [(name, p) for name, p in self.trainee.named_parameters() if p.requires_grad]
        layers = [p for name, p in trained if p.ndim == 2 and ".layers." in name]
        chosen = {id(p) for p in layers}
        rest = [p for _, p in trained if id(p) not in chosen]
        self.muon = StackedMuon(layers, lr=1.5e-3)
        self.adamw = torch.optim.AdamW(
            rest, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0, fused=device == "cuda"
        )
        # One text length for all: with the prompt's head and the newline a multiple of 8, as fast kernels like it.
        text = 248 + (-1 - self.trainee.head_ids.numel()) % 8
        self.regimes = regimes
        self.streams: dict[tuple[str, int], Iterator[Batch]] = {}
        for world, frames in sorted({(r.world, r.frames) for r in regimes}):
            workers = _WORKERS[world] if device == "cuda" else 0
            data = Batches(
                tokenizer.to_str(),
                clips=clip_frames // frames,
                frames=frames,
                text=text,
                seed=seed,
                other_words=other_words,
                world=world,
            )
            loader = DataLoader(
                data, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None
            )
            self.streams[world, frames] = iter(loader)
        self.draw, self.paint_one = render, paint_one
        if device == "cuda":
            self._compile()

    def _compile(self) -> None:
        torch.set_float32_matmul_precision("high")
        torch._dynamo.config.recompile_limit = 64
        self.draw = torch.compile(render, dynamic=False)
        self.paint_one = torch.compile(paint_one, dynamic=False)
        tower = self.trainee.model.model.vision_tower
        for layer in getattr(tower, "vision_model", tower).encoder.layers:
            layer.compile(dynamic=False)
        for layer in self.trainee.model.model.language_model.layers:
            layer.compile(dynamic=False)

    def step(self, regime: Regime, rate: float, auxiliary: float) -> tuple[Tensor, Tensor, Batch]:
        """One step; returns the answer loss, which positions were predicted right [B, text], and the batch."""
        batch = next(self.streams[regime.world, regime.frames]).to(self.device)
        self.trainee.discard(self._discarded(regime))
        frames, targets = self._pictures(batch)
        with torch.autocast(self.device, torch.bfloat16):
            loss, right = self._loss(batch, frames, targets, regime.keep, auxiliary)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.trainee.parameters(), 1.0, foreach=True)
        for group in self.adamw.param_groups:
            group["lr"] = 1e-3 * rate
        self.adamw.step()
        self.muon.step(rate)
        self.trainee.zero_grad(set_to_none=True)
        return loss.detach(), right, batch

    def _discarded(self, regime: Regime) -> set[int]:
        """Which layers hide the video this time: most of those from a random depth on."""
        if self.rng.random() >= regime.discards:
            return set()
        first = self.rng.randrange(FIRST_DISCARDED, self.depth)
        return {layer for layer in range(first, self.depth) if self.rng.random() < 0.8}

    @torch.no_grad()
    def _pictures(self, batch: Batch) -> tuple[Tensor, Targets]:
        size, scenes = (checkpoint.IMAGE_SIZE, checkpoint.IMAGE_SIZE), batch.scenes
        sharpness = (
            torch.rand(len(batch.ids), 1, 1, 1, device=self.device, generator=self.generator) * 2.3 + 0.7
        )
        if isinstance(scenes, Staged):
            frames, shares = draw(scenes, self.generator, sharpness, self.paint_one)
            return degrade(frames, self.generator), staged_targets(shares, scenes)
        ground = background(len(batch.ids), *size, self.generator)
        drawn = self.draw(scenes, ground, batch.times, sharpness=sharpness)
        return degrade(drawn.frames, self.generator), patch_targets(drawn, scenes)

    def _loss(
        self, batch: Batch, frames: Tensor, targets: Targets, keep: int | None, auxiliary: float
    ) -> tuple[Tensor, Tensor]:
        trainee, extra = self.trainee, torch.zeros((), device=self.device)
        if keep is None:
            with torch.set_grad_enabled(not self.language_only):
                patches = trainee.patches(frames)
                features, kept = trainee.features(patches).flatten(1, 2), None
            if not self.language_only:
                extra = auxiliary * trainee.auxiliary_loss(patches, targets)
        else:
            with torch.no_grad():
                every = trainee.features(trainee.patches(frames))
                kept = budgeted(every, keep)
                features = every.flatten(1, 2).gather(1, kept[..., None].expand(-1, -1, every.shape[-1]))
        logits = trainee.answer_logits(features, kept, batch)
        # The token at position p is predicted at p - 1; a question's first answer token by its prompt's last.
        logits, labels, weights = logits[:, :-1], batch.labels[:, 1:], batch.weights[:, 1:]
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="none")
        loss = (losses * weights.flatten()).sum() / weights.sum()
        right = F.pad(logits.argmax(-1) == labels, (1, 0))
        return loss + extra, right.detach()


class Log:
    """Share of answers with every token right (teacher-forced), by kind of step and type of question."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))

    def add(self, regime: Regime, batch: Batch, right: Tensor) -> None:
        rows = right.cpu().numpy()
        for row, spans in zip(rows, batch.spans, strict=True):
            for kind, start, end in spans:
                tally = self.counts[regime.name][kind]
                tally[0] += bool(row[start:end].all())
                tally[1] += 1

    def lines(self) -> list[str]:
        """One line a kind of step; starts anew."""
        out = []
        for name, kinds in sorted(self.counts.items()):
            every = [sum(t[i] for t in kinds.values()) for i in (0, 1)]
            shares = " ".join(f"{k} {r / n:.2f}" for k, (r, n) in sorted(kinds.items()))
            out.append(f"  {name:8} {every[0] / every[1]:.3f} | {shares}")
        self.counts.clear()
        return out


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
        loss, right, batch = trainer.step(regime, rate, auxiliary=0.5)
        step, clips = step + 1, clips + len(batch.ids)
        if step % 10 == 0:
            log.add(regime, batch, right)
        if step == 1 or time.monotonic() - logged > log_every:
            logged = time.monotonic()
            print(
                f"{logged - start:5.0f} s  step {step}  clips {clips}  rate {rate:.2f}  loss {loss.item():.4f}"
            )
            print(*log.lines(), sep="\n", flush=True)
    return {"steps": step, "clips": clips, "minutes": minutes}


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
        regimes=WORLD_REGIMES if args.worlds else REGIMES,
    )
    figures = train(trainer, args.minutes, args.cooldown, args.peak, args.warm_up)
    model.model.language_model.config._attn_implementation = "sdpa"
    checkpoint.save(
        model, checkpoint.build_processor(tokenizer), args.out, max_shard_size=args.max_shard_size
    )
    print(json.dumps({**figures, "device": args.device, "torch": torch.__version__, "seed": args.seed}))


if __name__ == "__main__":
    main()
