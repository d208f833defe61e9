"""What only a CUDA device can show: late decisions, half precision, and equality with the CPU."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import pytest
import torch
from tiny_checkpoint import LAYERS
from tiny_model import QUESTION, captured, clip, folder, loaded, some

from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.models.door import Prompt
from sharpv_cli.models.loading import LoadedModel, load
from sharpv_cli.pipeline.answering import answer
from sharpv_cli.pruning.visual import score, select_adaptive
from sharpv_cli.settings import ModelSettings, Settings
from sharpv_cli.types import Finished

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def on_cuda(dtype: str) -> LoadedModel:
    """On SDPA: heads of 16 are none that every build of flash-attn takes."""
    model = {"id": str(folder()), "dtype": dtype, "attention": "sdpa"}
    return load(ModelSettings.model_validate(model), "cuda")


def to_cuda(prompt: Prompt) -> Prompt:
    """The same numbers on the device: captured there, they would differ in the last bits."""
    return Prompt(**{part.name: _moved(getattr(prompt, part.name)) for part in fields(prompt)})


def _moved(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _moved(item) for name, item in value.items()}
    return [item.cuda() for item in value] if isinstance(value, list) else value.cuda()


@pytest.mark.parametrize("m", [0.2, 1.0])
def test_late_decisions_are_those_of_the_cpu_and_so_are_the_tokens(m: float) -> None:
    whole = captured()
    prompt = whole.prune(some(whole))
    here = ReferenceEngine(loaded().model).prefill(prompt, m=m)
    ids = list(ReferenceEngine(loaded().model).decode(here, max_new_tokens=10, stop_ids=()))
    cuda = on_cuda("float32").model

    there = ReferenceEngine(cuda).prefill(to_cuda(prompt), m=m)
    lengths = there.cache.lengths

    assert there.similarities == pytest.approx(here.similarities, abs=1e-4)
    assert there.discarded == here.discarded
    assert lengths == [len(prompt) - len(prompt.visual) * (i in here.discarded) for i in range(LAYERS)]
    assert list(ReferenceEngine(cuda).decode(there, max_new_tokens=10, stop_ids=())) == ids


def test_scoring_on_the_device_waits_for_nothing() -> None:
    features = captured().features.cuda()
    scores = score(features)  # a first call may wait: kernels are loaded
    select_adaptive(scores)
    with no_waiting():
        keep = select_adaptive(score(features))
        with pytest.raises(RuntimeError, match="synchroniz"):
            bool(keep.any())

    # The CPU sums in another order. Ratios decide how many, importance which: ties apart, the same.
    here = score(captured().features)
    torch.testing.assert_close(scores.importance.cpu(), here.importance, atol=1e-5, rtol=0)
    torch.testing.assert_close(scores.ratio.cpu(), here.ratio, atol=1e-6, rtol=0)
    least = here.importance.masked_fill(~keep.cpu(), torch.inf).amin(-1)
    most = here.importance.masked_fill(keep.cpu(), -torch.inf).amax(-1)
    assert (least >= most - 1e-5).all()


@contextmanager
def no_waiting() -> Iterator[None]:
    """Whatever makes the host wait for the device raises RuntimeError."""
    torch.cuda.synchronize()
    try:
        # Setting the mode warns that it is a prototype, and warnings are errors here.
        with warnings.catch_warnings(action="ignore"):
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_an_answer_in_bfloat16_has_device_figures() -> None:
    settings = Settings.model_validate({"generation": {"max_new_tokens": 8}})
    model = on_cuda("auto")

    last = list(answer(model, *clip(), QUESTION, settings))[-1]

    assert isinstance(last, Finished)
    assert model.info.dtype == "bfloat16"
    assert last.answer.memory.peak_bytes >= last.answer.memory.weights_bytes
    assert (
        last.answer.memory.kv_bytes == sum(layer.kv_entries for layer in last.answer.layers) * 2 * 2 * 16 * 2
    )
