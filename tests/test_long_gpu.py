"""Clips that come in chunks on a CUDA device: what the whole clip keeps, in memory that frames do not fill."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from cuda_models import on_cuda, where_installed
from events import answer, answer_about
from long_clips import ONE_D, QUESTION, clip_for, in_chunks
from tiny_families import folder

from sharpv_cli.metrics import StageClock
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.frames import encode, returned
from sharpv_cli.pipeline.long import holding
from sharpv_cli.session import Session
from sharpv_cli.types import Answer, Finished

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

each = pytest.mark.parametrize("family", [where_installed(name) for name in ONE_D])


def on_gpu(family: str, frames: int = 40, **groups: object) -> Clip:
    of = clip_for(family, tuple(t / 2 for t in range(frames)), **groups)
    return replace(of, session=Session.of(on_cuda(folder(family), "float32"), of.settings.engine))


def chunked(of: Clip, size: int = 8) -> Answer:
    long = in_chunks(of, size)
    *_, last = answer_about(long, QUESTION)
    assert isinstance(last, Finished)
    return last.answer


def whole(of: Clip) -> Answer:
    *_, last = answer(of.session, of.info, of.sample, QUESTION, of.settings, new_tokens=of.new_tokens)
    assert isinstance(last, Finished)
    return last.answer


@each
def test_the_same_tokens_are_kept_as_of_the_whole_clip(family: str) -> None:
    """Convolutions of another batch size may round otherwise, and swap tokens that are as good as each other."""
    of = on_gpu(family)
    got, want = chunked(of), whole(of)
    assert abs(got.visual_kept - want.visual_kept) <= 2
    assert (got.keep != want.keep).mean() <= 0.02
    assert (got.text_tokens, len(got.retention)) == (want.text_tokens, len(want.retention))
    assert got.generated_tokens == want.generated_tokens


def test_tokens_are_taken_out_a_chunk_late(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[int] = []
    add = holding.HeldTokens.add

    def watched(self: holding.HeldTokens, chunk: object) -> None:
        add(self, chunk)  # type: ignore[arg-type]
        waiting.append(len(self._waiting))

    monkeypatch.setattr(holding.HeldTokens, "add", watched)
    chunked(on_gpu("llava_onevision"))
    assert waiting == [1] * 5


def test_memory_on_the_device_does_not_grow_with_frames() -> None:
    peaks = {}
    for frames in (64, 640):
        long = in_chunks(on_gpu("llava_onevision", frames, visual={"scale": 0.01}), 16)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        encoded = returned(encode(long, QUESTION, StageClock()))
        kept = 4 * encoded.whole.embeds.nbytes + 40 * encoded.whole.slots.nbytes
        peaks[frames] = torch.cuda.max_memory_allocated() - before - kept
    pixels = 3 * 56 * 56 * 4
    assert peaks[640] < peaks[64] + 64 * pixels
