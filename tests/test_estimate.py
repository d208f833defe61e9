"""Memory by formula, against the tensors that really live at once, and against arithmetic done by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_families
import tiny_model
import torch
from live_bytes import LiveBytes

from sharpv_cli.engine.reference import ReferenceEngine
from sharpv_cli.errors import ResourceError
from sharpv_cli.models import memory_check as room
from sharpv_cli.models.available import available_bytes, host_bytes
from sharpv_cli.models.capture import capture
from sharpv_cli.models.dimensions import language_model
from sharpv_cli.models.estimate import Request, estimate, kv_cache_bytes
from sharpv_cli.models.families import FAMILIES
from sharpv_cli.models.known import known
from sharpv_cli.models.loading import LoadedModel
from sharpv_cli.models.tensors import read_weights
from sharpv_cli.settings import ModelSettings
from sharpv_cli.video.ahead import CHUNKS_AHEAD
from sharpv_cli.video.thumbnails import THUMBNAIL_BYTES

FRAMES = 16
OVERRIDE = "; --no-memory-check tries it all the same"
OV_7B = "llava-hf/llava-onevision-qwen2-7b-ov-hf"


def request_for(model_id: str = OV_7B, **changes: object) -> Request:
    base = Request(known(ModelSettings(id=model_id)), 32, 720, 1280, new_tokens=128, itemsize=2)
    return replace(base, **changes)


@pytest.fixture(scope="module")
def whole_prompts() -> dict[str, tuple[LoadedModel, object, int]]:
    """Each family's tiny model, its whole prompt of 16 frames, and the bytes that encoding them took."""
    found = {}
    for family in FAMILIES:
        model = tiny_families.loaded(family)
        given = tiny_families.inputs(model, times=tuple(t / 2 for t in range(FRAMES)))
        with LiveBytes() as live:
            whole = capture(model.model, given, model.family)
        found[family] = model, whole, live.peak
    return found


def tiny_request(model: LoadedModel, text: int) -> Request:
    height, width = tiny_families.HEIGHT, tiny_families.WIDTH
    return Request(model.known, FRAMES, height, width, new_tokens=0, itemsize=4, text_tokens=text)


@pytest.mark.parametrize("family", FAMILIES)
def test_encoding_takes_what_the_formula_says(whole_prompts: dict[str, tuple], family: str) -> None:
    model, whole, peak = whole_prompts[family]
    needed = estimate(tiny_request(model, whole.text_tokens))
    assert peak / 1.5 <= needed.vision + needed.embeddings <= peak * 1.5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kept", [1.0, 0.3])
def test_reading_takes_what_the_formula_says(
    whole_prompts: dict[str, tuple], family: str, kept: float
) -> None:
    model, whole, _ = whole_prompts[family]
    keep = torch.rand(whole.slots.shape, generator=torch.Generator().manual_seed(0)) < kept
    with LiveBytes() as live:
        prompt = whole.prune(keep)
        ReferenceEngine(model.model).prefill(prompt, m=None)
    needed = estimate(tiny_request(model, whole.text_tokens), int(keep.sum()))
    assert live.peak / 1.25 <= needed.prefill + needed.kv_cache <= live.peak * 1.25


def test_the_built_in_model_takes_what_the_formula_says() -> None:
    from sharpv_cli.models.loading import load
    from sharpv_cli.models.prompting import build_inputs
    from sharpv_cli.settings import PromptSettings

    model = load(ModelSettings(id="builtin"), "cpu")
    info, sample = tiny_model.clip(FRAMES)
    given = build_inputs(model, info, sample, "What?", PromptSettings())
    with LiveBytes() as live:
        whole = capture(model.model, given, model.family)
    folder = known(ModelSettings(id="builtin"))
    height, width = sample.images.shape[1:3]
    needed = estimate(Request(folder, FRAMES, height, width, 0, 4, text_tokens=whole.text_tokens))
    assert live.peak / 1.25 <= needed.vision + needed.embeddings <= live.peak * 1.25
    assert needed.weights == model.weights_bytes
    assert needed.pixels == given["pixel_values_videos"].nbytes


def test_the_cache_is_counted_exactly() -> None:
    model = tiny_model.loaded()
    whole = capture(model.model, tiny_model.stock_inputs(model), model.family)
    read = ReferenceEngine(model.model).prefill(whole.prune(tiny_model.everything(whole)), m=None)
    language = language_model(model.model.config, 4)
    assert kv_cache_bytes(language, len(whole)) == sum(read.cache.layer_bytes)


def test_eager_attention_writes_all_scores() -> None:
    plain, eager = estimate(request_for()), estimate(request_for(eager=True))
    tokens = request_for().text + 32 * 196
    assert eager.prefill > 28 * tokens**2 * 2 > plain.prefill


def test_in_chunks_only_kept_tokens_count_by_the_clip() -> None:
    """An hour at one frame a second: but for what is kept it takes what two chunks do."""
    hour, chunk = request_for(frames=3600, at_once=32), estimate(request_for(frames=32))
    needed = estimate(hour, 5000)
    token = 3584 * 2
    assert hour.in_chunks
    assert (needed.pixels, needed.vision) == (chunk.pixels, chunk.vision)
    assert needed.embeddings == (64 + 2 * 5000 + 2 * 32 * 196) * token
    picture = 3 * hour.height * hour.width
    prepared = 8 * 32 * 27 * 27 * 3 * 14 * 14
    assert needed.frames == (CHUNKS_AHEAD + 2) * 32 * picture + prepared + THUMBNAIL_BYTES
    assert (needed.prefill, needed.kv_cache) == (
        estimate(request_for(frames=3600), 5000).prefill,
        estimate(request_for(frames=3600), 5000).kv_cache,
    )
    assert estimate(request_for(at_once=64)) == estimate(request_for()), "all frames are one chunk"


def test_no_more_is_kept_than_the_context_has_room_for() -> None:
    hour = request_for(frames=3600, at_once=32)
    assert hour.most_kept == 32768 - 64 - 127
    assert request_for().most_kept == request_for().visual_tokens
    assert room.advice(hour, estimate(hour, hour.most_kept).device_bytes) == ()


def test_a_frame_of_7b_by_hand() -> None:
    """LLaVA-OneVision 7B in bfloat16: 8.03 B parameters, 196 tokens a frame, 57,344 bytes of KV a token."""
    needed = estimate(request_for(text_tokens=60))
    tokens = 60 + 32 * 196
    assert needed.weights == 2 * 8_030_807_584
    assert needed.kv_cache == (tokens + 128) * 2 * 28 * 4 * 128 * 2
    assert needed.embeddings == tokens * 3584 * 2
    assert needed.pixels == 32 * 27 * 27 * 3 * 14 * 14 * 2
    # Two of 3,584 numbers and three of 18,944 a token; the embeddings of what is kept; logits.
    mlp = tokens * (2 * 3584 + 3 * 18944) * 2
    assert needed.prefill == mlp + tokens * 3584 * 2 + 152128 * 6


def test_weights_are_counted_from_headers_by_what_a_dtype_decides(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {"a": torch.zeros(3, 5, dtype=torch.float16), "b": torch.zeros(7)}
    save_file(tensors | {"packed": torch.zeros(11, dtype=torch.uint8)}, tmp_path / "one.safetensors")
    save_file({"steps": torch.zeros(2, dtype=torch.int64)}, tmp_path / "two.safetensors")
    weights = read_weights([tmp_path / "one.safetensors", tmp_path / "two.safetensors"], "it")
    assert (weights.numbers, weights.fixed_bytes) == (22, 11 + 16)


# What is free


def proc(folder: Path, available_kib: int, groups: str) -> Path:
    (folder / "self").mkdir(parents=True)
    (folder / "meminfo").write_text(f"MemTotal: 99999 kB\nMemAvailable: {available_kib} kB\n")
    (folder / "self" / "cgroup").write_text(groups)
    return folder


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_the_host_has_what_the_kernel_says(tmp_path: Path) -> None:
    assert host_bytes(proc(tmp_path / "proc", 1000, "0::/\n"), tmp_path / "cg") == 1000 * 1024


def test_a_container_has_what_its_group_leaves(tmp_path: Path) -> None:
    at = tmp_path / "cg" / "pod" / "app"
    group(at, memory__max=700_000, memory__current=400_000, memory__stat="anon 1\ninactive_file 50000")
    assert host_bytes(proc(tmp_path / "proc", 10**6, "0::/pod/app\n"), tmp_path / "cg") == 350_000


def test_the_limit_of_an_outer_group_counts_too(tmp_path: Path) -> None:
    group(tmp_path / "cg" / "pod" / "app", memory__max="max", memory__current=400_000)
    group(tmp_path / "cg" / "pod", memory__max=500_000, memory__current=450_000, memory__stat="")
    assert host_bytes(proc(tmp_path / "proc", 10**6, "0::/pod/app\n"), tmp_path / "cg") == 50_000


def test_groups_of_version_one_are_read(tmp_path: Path) -> None:
    group(
        tmp_path / "cg" / "memory",  # the process sees its own group as the root, whatever its path
        memory__limit_in_bytes=900_000,
        memory__usage_in_bytes=1_000_000,
        memory__stat="total_inactive_file 130000",
    )
    found = host_bytes(proc(tmp_path / "proc", 10**6, "5:cpu:/x\n4:memory:/a/b\n"), tmp_path / "cg")
    assert found == 30_000


def test_nothing_is_known_without_proc(tmp_path: Path) -> None:
    assert host_bytes(tmp_path, tmp_path) is None


def test_this_machine_says_what_is_free() -> None:
    free = available_bytes(torch.device("cpu"))
    assert free is not None
    assert 0 < free < 1 << 50


def test_a_gpu_counts_what_pytorch_holds_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(
        mem_get_info=lambda _device: (1000, 9999),
        memory_reserved=lambda _device: 700,
        memory_allocated=lambda _device: 600,
    )
    monkeypatch.setattr(torch, "cuda", fake)
    assert available_bytes(torch.device("cuda", 0)) == 1100


# Refusals


def refused(action: object, *args: object, **kwargs: object) -> ResourceError:
    with pytest.raises(ResourceError) as caught:
        action(*args, **kwargs)
    assert caught.value.exit_code == 5
    return caught.value


def test_weights_that_do_not_fit_are_refused_with_numbers() -> None:
    model = known(ModelSettings(id=OV_7B))
    room.require_weights(model, 2, "cuda:0", 2 * model.parameters)
    error = refused(room.require_weights, model, 4, "cuda:0", 2 * model.parameters)
    assert str(error) == f"{OV_7B} needs about 29.9 GiB; 15.0 GiB are free on cuda:0"
    assert error.hint is not None
    assert error.hint.startswith("--dtype bfloat16 or -p ")


def test_the_smaller_profile_that_is_named_fits() -> None:
    model = known(ModelSettings(id=OV_7B))
    error = refused(room.require_weights, model, 2, "cpu", 6 << 30)
    assert error.hint == f"-p smolvlm2-2.2b would fit{OVERRIDE}"  # 4.2 GiB; the next larger one has 6.5
    assert (
        refused(room.require_weights, model, 2, "cpu", 1 << 30).hint
        == f"pick a smaller model, or free memory{OVERRIDE}"
    )


def test_nothing_is_refused_where_nothing_is_known() -> None:
    request = request_for()
    room.require_weights(request.model, 4, "mps", None)
    room.require_frames(request, "mps", None)
    room.require_prefill(request, 10**6, "mps", None)


@pytest.mark.parametrize("model_id", [OV_7B, "Qwen/Qwen3-VL-8B-Instruct"])
def test_the_number_of_frames_that_is_named_is_the_largest_that_fits(model_id: str) -> None:
    request = request_for(model_id, frames=128)
    free = room.encoding_bytes(request) // 2
    error = refused(room.require_frames, request, "cuda:0", free)
    assert "encoding 128 frames needs about" in str(error)
    flag, count = str(error.hint).removesuffix(f" would fit{OVERRIDE}").split()
    assert flag == "--frames"
    room.require_frames(request.with_frames(int(count)), "cuda:0", free)
    refused(room.require_frames, request.with_frames(int(count) + 1), "cuda:0", free)


def test_decoded_frames_count_against_the_host() -> None:
    request = request_for()
    need = estimate(request).frames
    room.require_frames(request, "cuda:0", 1 << 40, need)
    assert "free on the host" in str(refused(room.require_frames, request, "cuda:0", 1 << 40, need - 1))
    room.require_frames(request, "cuda:0", 1 << 40)  # nothing is known of the host


def test_the_tokens_that_fit_are_the_most_that_do() -> None:
    request = request_for()
    free = room.reading_bytes(request, 3000)
    assert room.tokens_that_fit(request, free) == 3000
    room.require_prefill(request, 3000, "cuda:0", free)
    asked = []
    error = refused(
        room.require_prefill, request, 3001, "cuda:0", free, lambda most: asked.append(most) or 0.3999
    )
    assert asked == [3000]
    assert error.hint == f"--scale 0.39 or --frames 31 would fit{OVERRIDE}"
    assert "reading 3001 visual tokens and 64 of text needs about" in str(error)
    assert (
        refused(room.require_prefill, request, 3001, "cuda:0", 0).hint
        == f"pick a smaller model, or free memory{OVERRIDE}"
    )


def test_advice_fits() -> None:
    request = request_for()
    free = estimate(request, 3000).device_bytes
    assert room.advice(request, estimate(request).device_bytes) == room.advice(request, None) == ()
    scale, frames = (float(flag.split()[1]) for flag in room.advice(request, free))
    kept = 32 * (int(scale * 196) + 1)  # at most so many with a ratio of 1 in every frame
    assert 2500 < kept <= 3032
    assert estimate(request, min(kept, 3000)).device_bytes <= free
    assert estimate(request.with_frames(int(frames))).device_bytes <= free
    assert estimate(request.with_frames(int(frames) + 1)).device_bytes > free
    assert room.advice(request, free, adaptive=False)[0] == f"--prune adaptive --scale {scale:g}"


def test_a_model_too_large_is_advised_by_what_fits_as_a_whole() -> None:
    request = request_for(itemsize=4)
    free = estimate(replace(request, itemsize=2)).device_bytes
    assert room.advice(request, free)[0] == "--dtype bfloat16"
    (profile,) = room.advice(request, free - 1)  # the weights alone would fit in half of the bytes
    assert profile == "-p perception-lm-3b"  # 3.5 billion; those with 3.75 encode large frames
    assert room.advice(request, 1 << 30) == ()
