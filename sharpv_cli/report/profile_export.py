"""`--export-json`, `--export-markdown`, `--export-csv` and `--chart-out` of a clip's profile."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sharpv_cli.errors import UsageError
from sharpv_cli.files import check_writable, write_whole
from sharpv_cli.report.document import TIMING, dump
from sharpv_cli.report.export import check_target
from sharpv_cli.report.pages import page_formats
from sharpv_cli.report.profile_chart import ProfileChart
from sharpv_cli.report.profile_document import profile_document
from sharpv_cli.report.profile_markdown import profile_markdown
from sharpv_cli.report.profile_picture import profile_picture
from sharpv_cli.text import shown
from sharpv_cli.types import ClipProfile, EngineProfile, MethodProfile

Render = Callable[[ClipProfile], bytes]
STDOUT = "-"
WIDTH = 80  # columns of the text that svg, html and txt hold
_TITLE = "sharpv: what pruning does to tokens, time and memory"


class ProfileExports:
    """Where the results of one profile go: made before the first run, written after each.

    Each target is a path, None, or "-" for stdout (one of json, markdown and csv at most). `video` is only
    protected from being overwritten. Raises UsageError where a target cannot be written, before any work.
    """

    def __init__(
        self,
        *,
        json: str | None = None,
        markdown: str | None = None,
        csv: str | None = None,
        chart: str | None = None,
        video: str | None = None,
        profile_name: str,
        profile_source: str,
        settings: Mapping[str, object],
    ) -> None:
        def as_json(profile: ClipProfile) -> bytes:
            document = profile_document(
                profile, profile_name=profile_name, profile_source=profile_source, settings=settings
            )
            return f"{dump(document, indent=2)}\n".encode()

        given: tuple[tuple[str, str | None, Render], ...] = (
            ("JSON", json, as_json), ("Markdown", markdown, _markdown), ("CSV", csv, profile_csv)
        )  # fmt: skip
        self._stdout = [render for _, target, render in given if target == STDOUT]
        self._files = [
            (what, Path(target), render) for what, target, render in given if target not in (None, STDOUT)
        ]
        if len(self._stdout) > 1:
            raise UsageError("two exports to stdout (-)", hint="give all but one of them a file")
        for _, path, _ in self._files:
            check_writable(path)
        if chart is not None:
            check_target(chart)
            self._files.append(("chart", Path(chart), _CHARTS[Path(chart).suffix.lower()]))
        _refuse_same([path for _, path in self.written], video)

    @property
    def written(self) -> tuple[tuple[str, Path], ...]:
        """What is written (`JSON`, `Markdown`, `CSV`, `chart`) and the file it goes to."""
        return tuple((what, path) for what, path, _ in self._files)

    def write(self, profile: ClipProfile) -> None:
        """Write all files, each whole or not at all. Raises UsageError (a full disk, a folder gone)."""
        for _, path, render in self._files:
            write_whole(path, render(profile))

    def stdout(self, profile: ClipProfile) -> str | None:
        """What the target "-" gets, ended by a newline; None without one."""
        return self._stdout[0](profile).decode() if self._stdout else None


def profile_csv(profile: ClipProfile) -> bytes:
    """A row a timed run: method, swept key and value (empty outside of a sweep), run from 1, seconds by stage, engine.

    What has no value is empty; the engine stands with the runs that compare engines only.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("method", "sweep_key", "sweep_value", "run", *TIMING, "engine"))
    writer.writerows(_csv_rows(profile))
    return text.getvalue().encode()


def _csv_rows(profile: ClipProfile) -> Iterator[tuple[object, ...]]:
    for method in profile.methods:
        yield from _csv_runs(method, "", "")
    for point in profile.sweep:
        yield from _csv_runs(point.profile, point.key, f"{point.value:g}")
    for engine in profile.engines:
        yield from _csv_runs(engine, "", "", engine.engine)


def _csv_runs(
    of: MethodProfile | EngineProfile, key: str, value: str, engine: str = ""
) -> Iterator[tuple[object, ...]]:
    for number, run in enumerate(of.runs, start=1):
        yield of.method, key, value, number, *(getattr(run, name, None) for name in TIMING), engine


def _refuse_same(paths: list[Path], video: str | None) -> None:
    """Two results in one file would lose one of them, and a result in the video's place the video."""
    seen: set[str] = set() if video is None else {os.path.realpath(video)}
    for path in paths:
        real = os.path.realpath(path)
        if video is not None and real == os.path.realpath(video):
            raise UsageError(f"{shown(path)} is the video itself", hint="give the export another name")
        if real in seen:
            raise UsageError(f"two exports to {shown(path)}", hint="give each a file of its own")
        seen.add(real)


def _markdown(profile: ClipProfile) -> bytes:
    return profile_markdown(profile).encode()


def _png(profile: ClipProfile) -> bytes:
    buffer = io.BytesIO()
    profile_picture(profile).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


_CHARTS: dict[str, Render] = {
    **page_formats(lambda profile: (ProfileChart(profile),), width=WIDTH, title=_TITLE),
    ".png": _png,
    ".md": _markdown,
}
