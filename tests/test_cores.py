"""How many cores are ours: affinity, and quotas of control groups of both versions."""

import os
from pathlib import Path

import pytest
import torch

from sharpv_cli import cores, session


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this machine's control groups nor a share count."""
    monkeypatch.setattr(cores, "_CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "_OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(cores, "_share", None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_without_a_quota_affinity_counts() -> None:
    assert cores.cores() == 64


def test_a_share_leaves_the_others_to_others() -> None:
    cores.share(3)
    assert cores.cores() == 3


def test_a_machine_without_affinity_counts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores.cores() == 1
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert cores.cores() == 64


@pytest.mark.parametrize(
    ("own", "outer", "expected"),
    [
        ("400000 100000", "max 100000", 4),
        ("max 100000", "150000 100000", 2),
        ("1000 100000", "max 100000", 1),
        ("max 100000", "max 100000", 64),
        ("nonsense", "", 64),
    ],
)
def test_quotas_of_version_2(tmp_path: Path, own: str, outer: str, expected: int) -> None:
    write(tmp_path, own="0::/pod/container\n")
    write(tmp_path / "pod", cpu__max=outer)
    write(tmp_path / "pod/container", cpu__max=own)
    assert cores.cores() == expected


@pytest.mark.parametrize(("quota", "expected"), [("250000", 3), ("-1", 64)])
def test_quotas_of_version_1(tmp_path: Path, quota: str, expected: int) -> None:
    """Seen from a container: its own group lies at the root, whatever the file says."""
    write(tmp_path, own="5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n")
    write(tmp_path / "cpu,cpuacct", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    assert cores.cores() == expected


@pytest.mark.parametrize(("own", "variable", "expected"), [(2, None, 2), (64, None, 5), (2, "5", 5)])
def test_torch_has_no_more_threads_than_cores(
    own: int, variable: str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five threads are what it found; fewer where a quota leaves fewer cores, and what the user said is kept."""
    monkeypatch.setattr(session, "cores", lambda: own)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    try:
        session._use_own_cores()
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
