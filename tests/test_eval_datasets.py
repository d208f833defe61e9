"""Which layout a folder or file has, and what is refused: what is read, and what is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets_on_disk import lines, mvbench_entry, only, videomme_entry, write

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets.loading import LAYOUTS, load
from sharpv_cli.tables.entries import Problem


def test_the_layouts_names() -> None:
    assert LAYOUTS == ("mvbench", "videomme", "motionbench", "nextqa", "activitynetqa", "jsonl")


def test_a_layout_can_be_forced(tmp_path: Path) -> None:
    both = videomme_entry() | {"video": "a.mp4"}
    file = write(tmp_path / "a.jsonl", lines(both))
    assert load(file).name == "videomme"
    assert only(load(file, "videomme")).scoring == "letter"
    dataset = load(file, "jsonl")
    assert (dataset.name, only(dataset).video) == ("a", tmp_path / "a.mp4")
    with pytest.raises(UsageError, match="open-ended"):
        load(file, "nextqa")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_forced_layout_that_is_not_there(tmp_path: Path, layout: str) -> None:
    write(tmp_path / "notes.txt", "x")
    with pytest.raises(UsageError, match=f"layout '{layout}': it holds notes.txt") as caught:
        load(tmp_path, layout)
    assert caught.value.hint is not None and caught.value.hint.startswith("expected: ")


def test_no_known_layout(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the folder is empty"):
        load(tmp_path)
    for n in range(10):
        write(tmp_path / f"{n}.mp4", b"")
    (tmp_path / "0a").mkdir()
    with pytest.raises(UsageError, match=r"it holds 0\.mp4, 0a/, .* and 3 more") as caught:
        load(tmp_path)
    assert caught.value.hint is not None
    assert all(f"{layout}: " in caught.value.hint for layout in LAYOUTS)


def test_other_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file or folder '.*nowhere'"):
        load(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no dataset layout 'msvd'"):
        load(tmp_path, "msvd")
    with pytest.raises(UsageError, match=r"a file of type '\.mp4'"):
        load(write(tmp_path / "a.mp4", b""))
    with pytest.raises(UsageError, match="there are no entries"):
        load(write(tmp_path / "a.jsonl", "\n"))
    with pytest.raises(UsageError, match=r"a\.jsonl:1 is not JSON.*\(and 1 more\)"):
        load(write(tmp_path / "a.jsonl", "x\ny\n"))
    write(tmp_path / "b.jsonl", "")
    with pytest.raises(UsageError, match=r"2 \.jsonl files: a\.jsonl, b\.jsonl"):
        load(tmp_path)


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "json/action_count.json", [mvbench_entry()])
    write(tmp_path / "json/state_change.json", [mvbench_entry()])
    opened = os.open

    def refuse(path: Path, *args: int) -> int:
        if Path(path).name == "state_change.json":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args)

    monkeypatch.setattr(os, "open", refuse)
    dataset = load(tmp_path)
    assert dataset.problems == (Problem("json/state_change.json", "cannot read it: Permission denied"),)
    assert len(dataset.items) == 1


def test_names_of_files_are_safe_to_print(tmp_path: Path) -> None:
    write(tmp_path / "\x1b[31m.mp4", b"")
    with pytest.raises(UsageError) as caught:
        load(tmp_path)
    assert "\x1b" not in str(caught.value)


def test_loading_twice_gives_the_same(tmp_path: Path) -> None:
    for task in ("state_change", "action_count", "moving_count"):
        write(tmp_path / f"json/{task}.json", [mvbench_entry(video=f"{n % 2}.mp4") for n in range(4)])
    first, second = load(tmp_path), load(tmp_path)
    assert first == second
    assert len({item.id for item in first.items}) == 12


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, sharpv_cli.evaluation.datasets.loading, sharpv_cli.evaluation.scoring;"
        "print(sorted({'torch', 'transformers', 'av', 'pyarrow'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
