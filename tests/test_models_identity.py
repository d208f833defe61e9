"""What decides an answer is in a checkpoint's identity: content, not sizes; and large files are read once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_model import folder

from sharpv_cli import digests, smallfile
from sharpv_cli.models.identity import checkpoint_identity
from sharpv_cli.settings import ModelSettings


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Path(shutil.copytree(folder(), tmp_path / "model"))


def of(path: Path) -> str:
    return checkpoint_identity(ModelSettings(id=str(path)))


def flip(file: Path) -> None:
    """Another bit in the middle: same size, same ends, and the times that it had."""
    before = file.stat()
    with file.open("r+b") as stream:
        stream.seek(before.st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def edit(name: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = json.loads((path / name).read_text()) if (path / name).exists() else {}
        (path / name).write_text(json.dumps(content | {"other": 1}))

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda path: flip(path / "model.safetensors"),
        lambda path: (path / "chat_template.jinja").write_text("{{ messages }}"),
        lambda path: (path / "merges.txt").write_text("a b"),
        edit("config.json"),
        edit("generation_config.json"),
        edit("processor_config.json"),
        edit("preprocessor_config.json"),
        edit("tokenizer_config.json"),
        edit("tokenizer.json"),
    ],
)
def test_whatever_is_loaded_counts(change: Callable[[Path], None], copy: Path) -> None:
    before = of(copy)
    assert of(copy) == before

    change(copy)

    assert of(copy) != before


def test_what_is_not_loaded_does_not_count(copy: Path) -> None:
    before = of(copy)
    (copy / "README.md").write_text("Trained for a day.")
    (copy / "pytorch_model.bin").write_bytes(b"x")
    (copy / "config.json").write_text(json.dumps(json.loads((copy / "config.json").read_text()), indent=7))

    assert of(copy) == before


def test_a_copy_elsewhere_is_the_same(copy: Path, tmp_path: Path) -> None:
    assert of(Path(shutil.copytree(copy, tmp_path / "elsewhere"))) == of(copy)


def test_weights_are_read_once_and_again_when_they_changed(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(digests, "_LARGE_BYTES", 1000)
    monkeypatch.setattr(digests, "_SETTLED_SEC", -1.0)
    digest = digests.hashlib.file_digest
    monkeypatch.setattr(
        digests.hashlib,
        "file_digest",
        lambda stream, kind: (read.append(stream.name), digest(stream, kind))[1],
    )
    weights = str(copy / "model.safetensors")
    before = of(copy)
    assert weights in read
    read.clear()

    assert of(copy) == before
    assert weights not in read

    flip(copy / "model.safetensors")
    assert of(copy) != before
    assert weights in read


def test_what_was_written_just_now_is_not_remembered(copy: Path, tmp_path: Path) -> None:
    (copy / "model.safetensors").touch()
    of(copy)

    assert not (tmp_path / "cache" / "sharpv" / "digests.json").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 7}', "\xff"])
def test_a_broken_memory_is_forgotten(content: str, copy: Path, tmp_path: Path) -> None:
    before = of(copy)
    (tmp_path / "cache" / "sharpv").mkdir(parents=True)
    (tmp_path / "cache" / "sharpv" / "digests.json").write_text(content, encoding="latin-1")

    assert of(copy) == before


@pytest.mark.parametrize("special", ["fifo", "/dev/zero", "folder"])
def test_a_memory_that_is_no_file_is_read_with_a_bound(
    special: str, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smallfile, "_WRITER_SEC", 0.05)
    before = of(copy)
    memory = tmp_path / "cache" / "sharpv" / "digests.json"
    memory.parent.mkdir(parents=True)
    if special == "fifo":
        os.mkfifo(memory)
    elif special == "folder":
        memory.mkdir()
    else:
        memory.symlink_to(special)

    assert of(copy) == before


def test_a_memory_that_cannot_be_written_is_no_fault(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_LARGE_BYTES", 1000)
    monkeypatch.setattr(digests, "_SETTLED_SEC", -1.0)
    (tmp_path / "cache").write_text("a file")

    assert of(copy)
