"""`--export-...` and `--chart-out`: where results go as files, checked before any work, each written whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from sharpv_cli.errors import UsageError
from sharpv_cli.files import check_writable, write_whole
from sharpv_cli.text import shown

STDOUT = "-"
CHART = "chart"
R = TypeVar("R")
Render = Callable[[R], bytes]


class Exports(Generic[R]):
    """Where the results of one run go: made before it, written as often as there is more to write.

    `given` are exports by name (`JSON`, `CSV`): a path, None, or "-" for stdout, which one of them may have. `charts`
    are paths, the suffix of each one of `formats`. `kept` are files that no export may replace, and what they are.
    Raises UsageError where a target cannot be written, before any work.
    """

    def __init__(
        self,
        given: Mapping[str, tuple[str | None, Render[R]]],
        charts: Sequence[str],
        formats: Mapping[str, Render[R]],
        kept: Mapping[str, str],
    ) -> None:
        targets = {what: (target, render) for what, (target, render) in given.items() if target is not None}
        self._stdout = [render for target, render in targets.values() if target == STDOUT]
        self._files = [
            (w, Path(target), render) for w, (target, render) in targets.items() if target != STDOUT
        ]
        if len(self._stdout) > 1:
            raise UsageError("two exports to stdout (-)", hint="give all but one of them a file")
        self._files += [(CHART, Path(path), _format(path, formats)) for path in charts]
        for _, path, _ in self._files:
            check_writable(path)
        _refuse_same([path for _, path, _ in self._files], kept)

    @property
    def written(self) -> tuple[tuple[str, Path], ...]:
        """What is written, by its name, and the file it goes to."""
        return tuple((what, path) for what, path, _ in self._files)

    def write(self, result: R, *, charts: bool = True) -> None:
        """Write all files, or all but charts, each whole or not at all. Raises UsageError (a full disk)."""
        for what, path, render in self._files:
            if charts or what != CHART:
                write_whole(path, render(result))

    def stdout(self, result: R) -> str | None:
        """What the target "-" gets, ended by a newline; None without one."""
        return self._stdout[0](result).decode() if self._stdout else None


def _format(path: str, formats: Mapping[str, Render[R]]) -> Render[R]:
    suffix = Path(path).suffix.lower()
    if suffix not in formats:
        raise UsageError(
            f"cannot write a chart to {shown(path)}", hint=f"end the name in one of {', '.join(formats)}"
        )
    return formats[suffix]


def _refuse_same(paths: Iterable[Path], kept: Mapping[str, str]) -> None:
    """Two results in one file would lose one of them, and a result in another file's place that file."""
    seen = {os.path.realpath(path): what for path, what in kept.items()}
    for path in paths:
        real = os.path.realpath(path)
        if what := seen.get(real):
            raise UsageError(f"{shown(path)} is {what}", hint="give each export a file of its own")
        seen[real] = "where another export goes as well"
