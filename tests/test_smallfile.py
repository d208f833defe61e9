"""Small files that a user names: pipes, devices and what is no text, each read with a bound."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from sharpv_cli import smallfile
from sharpv_cli.errors import UsageError
from sharpv_cli.smallfile import read_bytes, read_text


def error_of(path: Path | str, most: int = 1000) -> str:
    with pytest.raises(UsageError) as caught:
        read_text(path, most=most)
    return str(caught.value)


def test_text_comes_without_its_mark(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfwhat moves?\r\n")
    assert read_text(tmp_path / "a.txt", most=16) == "what moves?\r\n"  # the mark counts
    assert "a.txt is over 15 B" in error_of(tmp_path / "a.txt", most=15)
    assert read_bytes("/dev/null", most=0) == b""


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full", "/dev/urandom"])
def test_devices_are_read_to_the_limit(device: str) -> None:
    assert error_of(device) == f"{device} is over 1000 B"
    assert error_of(device, 3 << 20) == f"{device} is over 3 MiB"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("¿qué?".encode("utf-16"), "a.txt is UTF-16 text"),
        ("¿qué?".encode("utf-16-be").join([b"\xfe\xff", b""]), "a.txt is UTF-16 text"),
        ("¿qué?".encode("utf-32"), "a.txt is UTF-32 text"),
        (b"\0\0\xfe\xff" + "¿qué?".encode("utf-32-be"), "a.txt is UTF-32 text"),
        (b"caf\xe9", "a.txt is not UTF-8 text (byte 3)"),
    ],
)
def test_other_encodings_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert said in error_of(tmp_path / "a.txt")


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    assert error_of(tmp_path) == f"cannot read {tmp_path}: Is a directory"
    assert error_of("none.txt") == "cannot read none.txt: No such file or directory"
    assert error_of("a\0b") == "cannot read a\\x00b: no file has such a name"


def test_a_pipe_that_nobody_writes_into_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smallfile, "_WRITER_SEC", 0.05)
    os.mkfifo(tmp_path / "pipe")
    assert error_of(tmp_path / "pipe").endswith("pipe: nobody writes into this pipe")


def test_a_slow_writer_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smallfile, "_WRITER_SEC", 0.1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    there = os.open(pipe, os.O_RDWR)  # as Linux lets one open a pipe before it is read

    def write() -> None:
        with os.fdopen(there, "wb", buffering=0) as file:
            for word in (b"what ", b"moves?"):
                time.sleep(0.3)
                file.write(word)

    writer = threading.Thread(target=write)
    writer.start()
    assert read_text(pipe, most=100) == "what moves?"
    writer.join()


def test_a_pipe_that_ends_at_once_is_empty(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(theirs)
    assert read_text(f"/dev/fd/{ours}", most=100) == ""
    os.close(ours)
