"""All pictures of a selection, decoded by seeking."""

from __future__ import annotations

from sharpv_cli.video.local import FilePath
from sharpv_cli.video.probe import Scan
from sharpv_cli.video.routes import Team
from sharpv_cli.video.sampling import Selection
from sharpv_cli.video.seeking import route, seek
from sharpv_cli.video.sinks import Canvas
from sharpv_cli.video.timeline import Choice


def by_seeking(path: FilePath, plan: Scan, selection: Selection, team: Team | None = None) -> Canvas | None:
    """None where the file has to be read in order."""
    runs = route(plan, selection)
    if runs is None:
        return None
    sink = Canvas.of(plan, Choice(selection, plan.timeline))
    return sink if seek(path, plan, runs, sink, team) else None
