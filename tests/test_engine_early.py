"""A GPU that gets ready beside the loading: what may be heard of it, on a CPU in its place."""

from __future__ import annotations

import threading

import pytest
import torch

from sharpv_cli.engine import early
from sharpv_cli.engine.early import gpu_ready_beside
from sharpv_cli.errors import ResourceError

CPU = torch.device("cpu")


@pytest.fixture
def in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "_gpu", lambda name: CPU)


@pytest.mark.usefixtures("in_its_place")
def test_it_is_used_in_another_thread_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, used = threading.Event(), []

    def use(device: torch.device) -> None:
        assert go_on.wait(60)
        used.append((device, threading.current_thread()))

    monkeypatch.setattr(early, "_use", use)
    with gpu_ready_beside("cuda"):
        go_on.set()
    ((device, thread),) = used
    assert device == CPU and thread is not threading.current_thread()


@pytest.mark.usefixtures("in_its_place")
def test_what_is_used_of_it_works_with_all_its_numbers() -> None:
    with gpu_ready_beside("cuda"):
        pass


@pytest.mark.parametrize("name", ["cpu", "mps", "meta", "cuda:x", "no-such"])
def test_other_names_are_left_to_who_picks_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(early, "_use", lambda device: pytest.fail(f"used {device}"))
    with gpu_ready_beside(name):
        pass


@pytest.mark.parametrize(
    ("name", "device"), [("auto", "cuda"), ("cuda", "cuda"), ("cuda:1", "cuda:1"), ("balanced", "cuda")]
)
def test_a_gpu_is_used(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(early, "_use", used.append)
    with gpu_ready_beside(name):
        pass
    assert used == [torch.device(device)]


@pytest.mark.usefixtures("in_its_place")
def test_its_error_is_raised_at_the_end_behind_the_loading_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(device: torch.device) -> None:
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(early, "_use", broken)
    with pytest.raises(RuntimeError, match="CUDA error"), gpu_ready_beside("cuda"):
        pass
    with pytest.raises(ResourceError, match="no such device"), gpu_ready_beside("cuda"):
        raise ResourceError("no such device")


@pytest.mark.usefixtures("in_its_place")
def test_want_of_memory_is_left_to_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "zeros", full)
    with gpu_ready_beside("cuda"):
        pass
