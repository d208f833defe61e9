"""What only a CUDA device can show: late decisions, half precision, and equality with the CPU."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
from cuda_models import to_cuda
from events import answer
from tiny_checkpoint import LAYERS
from tiny_model import QUESTION, captured, clip, folder, loaded, some

from sharpv_cli.engine import decoder
from sharpv_cli.engine.engine import Continuation
from sharpv_cli.engine.factory import Wanted, make_engine
from sharpv_cli.engine.guiding import GrammarGuide
from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.forms import form_of
from sharpv_cli.models.loading import LoadedModel, load
from sharpv_cli.pruning.visual import score, select_adaptive
from sharpv_cli.session import Session
from sharpv_cli.settings import ModelSettings, Settings
from sharpv_cli.types import Finished

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def on_cuda(dtype: str, device: str = "cuda") -> LoadedModel:
    """On SDPA: heads of 16 are none that every build of flash-attn takes."""
    model = {"id": str(folder()), "dtype": dtype, "attention": "sdpa"}
    return load(ModelSettings.model_validate(model), device)


@pytest.mark.parametrize("engine", ["reference", "fast"])
@pytest.mark.parametrize("m", [0.2, 1.0])
def test_late_decisions_are_those_of_the_cpu_and_so_are_the_tokens(m: float, engine: Wanted) -> None:
    whole = captured()
    prompt = whole.prune(some(whole))
    here = ReferenceEngine(loaded().model).prefill(prompt, m=m)
    ids = list(ReferenceEngine(loaded().model).decode(here, max_new_tokens=10, stop_ids=()))
    cuda = make_engine(on_cuda("float32"), engine)

    there = cuda.prefill(to_cuda(prompt), m=m)
    lengths = there.cache.lengths

    assert there.similarities == pytest.approx(here.similarities, abs=1e-4)
    assert there.discarded == here.discarded
    assert lengths == [len(prompt) - len(prompt.visual) * (i in here.discarded) for i in range(LAYERS)]
    assert list(cuda.decode(there, max_new_tokens=10, stop_ids=())) == ids


def test_a_graph_serves_the_next_answer_and_two_at_once() -> None:
    whole, model = captured(), on_cuda("float32")
    fast, reference = make_engine(model, "fast"), ReferenceEngine(model.model)
    prompts = [to_cuda(whole.prune(some(whole, part=part))) for part in (0.4, 0.3, 0.35)]
    want = [
        list(reference.decode(reference.prefill(p, m=0.2), max_new_tokens=40, stop_ids=())) for p in prompts
    ]

    one_by_one = [list(fast.decode(fast.prefill(p, m=0.2), max_new_tokens=40, stop_ids=())) for p in prompts]
    streams = [fast.decode(fast.prefill(p, m=0.2), max_new_tokens=40, stop_ids=()) for p in prompts]
    in_turns = [list(ids) for ids in zip(*zip(*streams, strict=True), strict=True)]

    assert one_by_one == want
    assert in_turns == want


def test_a_long_answer_and_a_sampled_one_are_those_of_the_reference() -> None:
    whole, model = captured(), on_cuda("float32")
    fast, reference = make_engine(model, "fast"), ReferenceEngine(model.model)
    prompt = to_cuda(whole.prune(some(whole)))
    for how in ({"max_new_tokens": 300}, {"max_new_tokens": 30, "temperature": 1.5, "seed": 3}):
        ids = list(fast.decode(fast.prefill(prompt, m=0.2), stop_ids=(), **how))

        assert ids == list(reference.decode(reference.prefill(prompt, m=0.2), stop_ids=(), **how))
        middle = ids[len(ids) // 2]
        short = list(fast.decode(fast.prefill(prompt, m=0.2), stop_ids={middle}, **how))
        assert short == ids[: ids.index(middle)]


def test_a_held_answer_is_that_of_the_reference_by_the_same_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """One graph serves free and held answers: masks come behind it."""
    whole, model = captured(), on_cuda("float32")
    fast, reference = make_engine(model, "fast"), ReferenceEngine(model.model)
    from sharpv_cli.engine.graph import GraphSteps  # imports triton

    prompt, captures = to_cuda(whole.prune(some(whole))), list[int]()
    capture = GraphSteps._capture
    monkeypatch.setattr(GraphSteps, "_capture", lambda steps: (captures.append(1), capture(steps))[1])
    free = list(fast.decode(fast.prefill(prompt, m=0.2), max_new_tokens=60, stop_ids=model.stop_ids))
    grammar = form_of(
        json_schema={"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3}
    ).grammar
    assert grammar is not None
    for _ in range(2):
        got, want = (
            list(
                engine.decode(
                    engine.prefill(prompt, m=0.2),
                    max_new_tokens=60,
                    stop_ids=model.stop_ids,
                    guide=GrammarGuide(model, grammar),
                )
            )
            for engine in (fast, reference)
        )
        assert got == want != free
    assert len(captures) == 1


def test_answers_are_scored_as_on_the_cpu() -> None:
    whole = captured()
    prompt = whole.prune(some(whole))
    answers = [Continuation((5, 6, 7)), Continuation((5, 9)), Continuation((8,), ends=True)]
    here = ReferenceEngine(loaded().model)
    want = here.score(here.prefill(prompt, m=0.2), answers, {1})
    for name in ("fast", "reference"):
        there = make_engine(on_cuda("float32"), name)  # type: ignore[arg-type]
        got = there.score(there.prefill(to_cuda(prompt), m=0.2), answers, {1})
        for one, same in zip(got, want, strict=True):
            assert one == pytest.approx(same, abs=1e-3)


def test_a_prompt_read_in_pieces_is_the_same_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, fast = captured(), make_engine(on_cuda("float32"), "fast")
    prompt = to_cuda(whole.prune(some(whole)))
    read = fast.prefill(prompt, m=0.2)
    monkeypatch.setattr(decoder, "CHUNK_TOKENS", 37)

    again = fast.prefill(prompt, m=0.2)

    assert again.discarded == read.discarded
    assert again.cache.lengths == read.cache.lengths
    torch.testing.assert_close(again.logits, read.logits, rtol=0, atol=1e-5 * read.logits.abs().max())


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

    last = list(answer(Session.of(model, settings.engine), *clip(), QUESTION, settings))[-1]

    assert isinstance(last, Finished)
    assert model.info.dtype == "bfloat16"
    assert last.answer.memory.peak_bytes >= last.answer.memory.weights_bytes
    assert (
        last.answer.memory.kv_bytes == sum(layer.kv_entries for layer in last.answer.layers) * 2 * 2 * 16 * 2
    )


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_a_second_gpu_answers_as_the_first(engine: Wanted) -> None:
    """Triton's kernels and CUDA graphs run on the current device, which is the first one unless somebody says so."""
    settings = Settings.model_validate({"generation": {"max_new_tokens": 8}, "engine": engine})
    told = []
    for device in ("cuda:0", "cuda:1"):
        with torch.cuda.device(0), ThreadPoolExecutor(1) as pool:  # `sharpv ask` loads in another thread
            model = pool.submit(on_cuda, "float32", device).result()
            last = list(answer(Session.of(model, settings.engine), *clip(), QUESTION, settings))[-1]
        assert isinstance(last, Finished)
        told.append(
            (last.answer.text, last.answer.engine, [layer.kv_entries for layer in last.answer.layers])
        )
    assert told[0] == told[1]
