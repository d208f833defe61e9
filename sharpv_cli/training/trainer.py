"""One training step: draw, see, prune, answer, learn."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from sharpv_cli.shapes.painting import paint_one, plate
from sharpv_cli.shapes.render import render
from sharpv_cli.training import checkpoint
from sharpv_cli.training.batches import SHAPES_WORLD, Batch, Batches
from sharpv_cli.training.degrade import degrade, worn
from sharpv_cli.training.grounds import grounds
from sharpv_cli.training.muon import StackedMuon
from sharpv_cli.training.regimes import REGIMES, Regime
from sharpv_cli.training.staging import Staged, draw, shares
from sharpv_cli.training.targets import Targets, patch_targets, staged_targets
from sharpv_cli.training.trainee import Trainee, budgeted

Tensor = torch.Tensor
_WORKERS = {SHAPES_WORLD: 2, "hard": 3, "signs": 2, "long": 2, "scenery": 2}

# The layers before this one stay near their input: Memory SharpV's similarity never falls under 0.2 there.
FIRST_DISCARDED = 3


class Trainer:
    """Draws and steps."""

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
        self.waited = 0.0  # seconds for batches
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
        self.regimes = regimes
        self.streams = self._streams(tokenizer.to_str(), clip_frames, other_words)
        self.render, self.paint_one, self.plate, self.worn = render, paint_one, plate, worn
        if device == "cuda":
            self._compile()

    def _streams(
        self, tokenizer_json: str, frames_a_step: int, other_words: float
    ) -> dict[Regime, Iterator[Batch]]:
        """Batches for each regime; those that need the same ones share a stream."""
        streams: dict[tuple[str, int, int, int], Iterator[Batch]] = {}
        for regime in self.regimes:
            if (key := self._key(regime, frames_a_step)) in streams:
                continue
            world, frames, clips, text = key
            workers = _WORKERS[world] if self.device == "cuda" else 0
            data = Batches(
                tokenizer_json,
                clips=clips,
                frames=frames,
                text=text,
                seed=self.seed,
                other_words=other_words,
                world=world,
            )
            loader = DataLoader(
                data, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None
            )
            streams[key] = iter(loader)
        return {regime: streams[self._key(regime, frames_a_step)] for regime in self.regimes}

    def _key(self, regime: Regime, frames_a_step: int) -> tuple[str, int, int, int]:
        """World, frames, clips and text; the text with the prompt's head and the newline is a multiple of 8, as fast
        kernels like it."""
        text = regime.text + (-1 - self.trainee.head_ids.numel()) % 8
        return regime.world, regime.frames, regime.clips(frames_a_step), text

    def _compile(self) -> None:
        torch.set_float32_matmul_precision("high")
        torch._dynamo.config.recompile_limit = 64
        torch._dynamo.config.suppress_errors = (
            True  # what cannot be compiled runs as it is: slower, not never
        )
        self.render = torch.compile(render, dynamic=False)
        self.paint_one = torch.compile(paint_one, dynamic=False)
        self.plate = torch.compile(plate, dynamic=False)
        self.worn = torch.compile(worn, dynamic=False)
        tower = self.trainee.model.model.vision_tower
        for layer in getattr(tower, "vision_model", tower).encoder.layers:
            layer.compile(dynamic=False)
        for layer in self.trainee.model.model.language_model.layers:
            layer.compile(dynamic=False)

    def next(self, regime: Regime) -> Batch:
        """The next batch of a kind, on the device."""
        start = time.monotonic()
        batch = next(self.streams[regime])
        self.waited += time.monotonic() - start
        return batch.to(self.device)

    def step(self, regime: Regime, rate: float, auxiliary: float) -> tuple[Tensor, Tensor, Batch]:
        """One step; returns the answer loss, which positions were predicted right [B, text], and the batch."""
        batch = self.next(regime)
        self.trainee.discard(self._discarded(regime))
        frames, targets = self._pictures(batch, aims=regime.keep is None and not self.language_only)
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
    def _pictures(self, batch: Batch, *, aims: bool) -> tuple[Tensor, Targets | None]:
        """What the clips look like, and what the tower should make of it where it has such `aims`."""
        scenes, generator = batch.scenes, self.generator
        sharpness = torch.rand(len(batch.ids), 1, 1, 1, device=self.device, generator=generator) * 2.3 + 0.7
        targets = None
        if isinstance(scenes, Staged):
            frames, covers = draw(scenes, generator, sharpness, self.paint_one, self.plate)
            if aims:
                targets = staged_targets(shares(scenes, covers), scenes)
        else:
            ground = grounds(scenes, checkpoint.IMAGE_SIZE, generator)
            drawn = self.render(scenes, ground, batch.times, sharpness=sharpness)
            frames = drawn.frames
            if aims:
                targets = patch_targets(drawn, scenes)
        return degrade(frames, generator, self.worn), targets

    def _loss(
        self, batch: Batch, frames: Tensor, targets: Targets | None, keep: int | None, auxiliary: float
    ) -> tuple[Tensor, Tensor]:
        trainee, extra = self.trainee, torch.zeros((), device=self.device)
        if keep is None:
            with torch.set_grad_enabled(not self.language_only):
                patches = trainee.patches(frames)
                features, kept = trainee.features(patches).flatten(1, 2), None
            if targets is not None:
                extra = auxiliary * trainee.auxiliary_loss(patches, targets)
        else:
            with torch.no_grad():
                every = trainee.features(trainee.patches(frames))
                kept = budgeted(every, keep)
                features = every.flatten(1, 2).gather(1, kept[..., None].expand(-1, -1, every.shape[-1]))
        logits, clock = trainee.answer(features, kept, batch)
        # The token at position p is predicted at p - 1; a question's first answer token by its prompt's last.
        logits, labels, weights = logits[:, :-1], batch.labels[:, 1:], batch.weights[:, 1:]
        losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="none")
        loss = (losses * weights.flatten()).sum() / weights.sum()
        right = F.pad(logits.argmax(-1) == labels, (1, 0))
        return loss + extra + clock, right.detach()
