"""A dataset from a folder or file, in the layout that its annotation files show."""

from __future__ import annotations

from pathlib import Path

from sharpv_cli.errors import UsageError
from sharpv_cli.evaluation.datasets import activitynetqa, jsonl, motionbench, mvbench, nextqa, videomme
from sharpv_cli.evaluation.datasets.collecting import Layout
from sharpv_cli.evaluation.datasets.dataset import Dataset
from sharpv_cli.text import shown

# In the order in which they are looked for: every .jsonl file would do for the last one.
_LAYOUTS: dict[str, Layout] = {
    module.LAYOUT.name: module.LAYOUT
    for module in (mvbench, videomme, motionbench, nextqa, activitynetqa, jsonl)
}
LAYOUTS = tuple(_LAYOUTS)
_SHOWN_NAMES = 8


def load(path: Path, layout: str | None = None) -> Dataset:
    """The questions of a benchmark's local copy; `layout` (one of LAYOUTS) says which it is, else it is recognised.

    UsageError: there is nothing at `path`, it is in no known layout, or nothing in it is usable. Missing videos are
    no error here.
    """
    if layout is not None and layout not in _LAYOUTS:
        raise UsageError(f"there is no dataset layout '{shown(layout)}'", hint=f"one of {', '.join(LAYOUTS)}")
    try:
        path.stat()
        return _load_as(path, _LAYOUTS[layout]) if layout is not None else _recognised(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"there is no file or folder '{shown(path)}'",
            hint="name the folder of a benchmark, or a .jsonl file",
        ) from None
    except OSError as error:
        raise UsageError(
            f"'{shown(error.filename or path)}' cannot be read: {error.strerror}",
            hint="check the name and its permissions",
        ) from error


def _load_as(path: Path, layout: Layout) -> Dataset:
    # A single file is taken at the user's word: what is wrong in it is then said entry by entry.
    files = layout.find(path) or ([path] if path.is_file() else [])
    if not files:
        raise UsageError(
            f"'{shown(path)}' has none of the annotation files of layout '{layout.name}': {_found(path)}",
            hint=f"expected: {layout.expected}",
        )
    return layout.read(path, files)


def _recognised(path: Path) -> Dataset:
    for layout in _LAYOUTS.values():
        if files := layout.find(path):
            return layout.read(path, files)
    known = "; ".join(f"{layout.name}: {layout.expected}" for layout in _LAYOUTS.values())
    raise UsageError(
        f"'{shown(path)}' is no dataset in a known layout: {_found(path)}",
        hint=f"expected one of these: {known}. docs/datasets.md shows each",
    )


def _found(path: Path) -> str:
    """What is there instead, in words."""
    if path.is_file():
        return f"a file of type '{shown(path.suffix)}' without the fields of one"
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in path.iterdir())
    if not names:
        return "the folder is empty"
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return "it holds " + ", ".join(shown(name) for name in names[:_SHOWN_NAMES]) + more
