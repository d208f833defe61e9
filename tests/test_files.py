"""Files that are written: whole or not at all, under names that nobody can guess, in place where no rename can be."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from io import FileIO
from pathlib import Path

import pytest
from mounts import in_read_only_folder, mounted_alone
from run_cli import environment

from sharpv_cli.errors import UsageError
from sharpv_cli.files import check_writable, replacing, write_all, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writers_of_one_folder_with_one_process_id_do_not_meet(tmp_path: Path) -> None:
    """Two containers on a shared folder both run as process 1."""
    with replacing(tmp_path / "a") as first, first:
        write_all(first, b"of a")
        with replacing(tmp_path / "b") as second, second:
            write_all(second, b"of b")
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == {"a": b"of a", "b": b"of b"}


def test_a_link_that_was_planted_at_the_temporary_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".sharpv-guessed.part").symlink_to(tmp_path / "precious")
    with pytest.raises(UsageError, match="File exists"):
        write_whole(tmp_path / "chart.svg", b"chart")
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_file_keeps_its_rights_when_it_is_replaced(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "a"
    target.touch()
    target.chmod(mode)
    write_whole(target, b"new")
    assert (target.stat().st_mode & 0o777, target.read_bytes()) == (mode, b"new")


def test_a_new_file_has_the_rights_that_the_user_gives_new_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with suppress(KeyboardInterrupt), replacing(tmp_path / "a") as file, file:
        write_all(file, b"half")
        raise KeyboardInterrupt
    assert (names(tmp_path), (tmp_path / "a").read_text()) == (["a"], "old")


@pytest.mark.parametrize("place", [mounted_alone, in_read_only_folder])
def test_where_nothing_can_be_renamed_a_file_is_written_in_place(tmp_path: Path, place: object) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "a").write_text("a longer text than the new one")
    assert callable(place)
    code = f"""
from pathlib import Path
from sharpv_cli.files import check_writable, write_whole
target = Path({str(folder / "a")!r})
check_writable(target)
write_whole(target, b"new")
"""
    command = [*place(folder / "a"), sys.executable, "-c", code]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (names(folder), (folder / "a").read_text()) == (["a"], "new")


@pytest.mark.parametrize("kind", ["folder", "fifo", "loop", "/dev/full", "/dev/null", "none/a", "x" * 300])
def test_what_cannot_be_replaced_is_told_beforehand(tmp_path: Path, kind: str) -> None:
    target = tmp_path / kind  # an absolute name stays itself
    if kind == "folder":
        target.mkdir()
    elif kind == "fifo":
        os.mkfifo(target)
    elif kind == "loop":
        target.symlink_to(target)
    with pytest.raises(UsageError):
        check_writable(target)


def test_every_byte_goes_into_a_pipe_that_does_not_wait() -> None:
    content = os.urandom(1 << 20)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    got = bytearray()

    def read() -> None:
        while chunk := os.read(reader, 10_000):
            got.extend(chunk)

    thread = threading.Thread(target=read)
    with FileIO(writer, "w") as file:
        assert file.write(b"x" * (1 << 17)) < 1 << 17, "the pipe is full and does not wait"
        thread.start()
        write_all(file, content)
    thread.join()
    os.close(reader)
    assert got.endswith(content)
