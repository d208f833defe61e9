"""`sharpv probe`: what a video holds and what asking about it would cost, before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpv_cli import terminal
from sharpv_cli.commands.options import (
    Flags,
    JsonOption,
    ProfileOption,
    QuietOption,
    ShowSettingsOption,
    VerboseOption,
    VideoArgument,
    takes_settings,
)
from sharpv_cli.commands.preparing import opened, read_settings, say_settings
from sharpv_cli.video import isolated

if TYPE_CHECKING:
    from sharpv_cli.settings import Resolved
    from sharpv_cli.types import Outlook


@takes_settings
def probe(
    flags: Flags,
    video: VideoArgument,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    show_settings: ShowSettingsOption = False,
) -> None:
    """Show what a video holds, which frames would be taken, and the tokens and memory an answer would need.

    No weights are loaded or downloaded. The model is known from its folder or the local cache, else from facts
    that come with sharpv; memory is by formula (docs/models.md), compared with what is free on the device.

    \b
    Examples:
      sharpv probe clip.mp4
      sharpv probe talk.mp4 -p qwen2.5-vl-7b --fps 1
      sharpv probe talk.mp4 -p llava-ov-7b --json | jq .memory.advice
    """
    terminal.set_level(quiet=quiet, verbose=verbose)
    isolated.start()
    resolved = read_settings(flags, profile)
    if show_settings:
        say_settings(resolved)
    outlook = _look(video, resolved)
    for warning in outlook.warnings:
        terminal.say("warning", warning)
    if as_json:
        terminal.write_json(_document(outlook, resolved))
        return
    from sharpv_cli.report.probe_chart import ProbeChart

    terminal.write_report(ProbeChart(outlook))


def _look(video: str, resolved: Resolved) -> Outlook:
    from sharpv_cli.pipeline.probing import look

    with (
        opened(video, resolved) as local,
        terminal.Progress() as progress,
        terminal.heavy_imports(),
    ):
        progress.stage("reading the video")
        return look(local, resolved.settings)


def _document(outlook: Outlook, resolved: Resolved) -> dict[str, object]:
    from sharpv_cli.report.probe_document import probe_document

    return probe_document(outlook, resolved.told)
