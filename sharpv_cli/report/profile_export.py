"""`--export-json`, `--export-markdown`, `--export-csv` and `--chart-out` of a clip's profile."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from sharpv_cli.report.document import TIMING
from sharpv_cli.report.exports import Exports
from sharpv_cli.report.pages import ThemeName, formats, text_page
from sharpv_cli.report.profile_chart import ProfileChart
from sharpv_cli.report.profile_document import profile_document
from sharpv_cli.report.profile_markdown import profile_markdown
from sharpv_cli.text import dump
from sharpv_cli.types import ClipProfile, EngineProfile, MethodProfile

WIDTH = 80  # columns of the text


def profile_exports(
    *,
    json: str | None = None,
    markdown: str | None = None,
    csv: str | None = None,
    charts: Sequence[str] = (),
    video: str | None = None,
    about: Mapping[str, object],
    theme: ThemeName = "light",
) -> Exports[ClipProfile]:
    """Each target is a path, None, or "-" for stdout; `video` is not overwritten. Raises UsageError.

    `about` is the block `profile` of the JSON.
    """

    def document(profile: ClipProfile) -> dict[str, object]:
        return profile_document(profile, about)

    def picture(profile: ClipProfile, *, kind: str, theme: ThemeName) -> bytes:
        from sharpv_cli.report.profile_picture import profile_picture

        return profile_picture(profile, document(profile), kind=kind, theme=theme)

    def page(profile: ClipProfile) -> bytes:
        from sharpv_cli.report.still_page import still_page

        return still_page(profile, _text(profile), picture)

    def as_json(profile: ClipProfile) -> bytes:
        return f"{dump(document(profile), indent=2)}\n".encode()

    kinds = formats(page=page, picture=picture, markdown=profile_markdown, text=_text, theme=theme)
    given = {"JSON": (json, as_json), "Markdown": (markdown, kinds[".md"]), "CSV": (csv, profile_csv)}
    return Exports(given, charts, kinds, {} if video is None else {video: "the video itself"})


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


def _text(profile: ClipProfile) -> bytes:
    return text_page([ProfileChart(profile)], width=WIDTH)
