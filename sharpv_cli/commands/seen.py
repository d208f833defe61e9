"""`sharpv seen`: what is kept of videos that were seen."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sharpv_cli import terminal
from sharpv_cli.commands.options import JsonOption, QuietOption, option
from sharpv_cli.errors import UsageError, VideoError
from sharpv_cli.files import check_writable, write_whole
from sharpv_cli.report.sizes import format_percent
from sharpv_cli.text import printable, shown
from sharpv_cli.units import disk_size

if TYPE_CHECKING:
    from sharpv_cli.seen.head import Head
    from sharpv_cli.seen.store import Kept, Store

app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)

VideoArgument = Annotated[str, typer.Argument(metavar="VIDEO", help="A video, or where it lay.")]


@app.callback()
def seen(context: typer.Context, as_json: JsonOption = False) -> None:
    """What is kept of videos that were seen, for further questions; alone, `sharpv seen` lists it.

    \b
    Examples:
      sharpv seen
      sharpv seen show talk.mp4
      sharpv seen remove talk.mp4
    """
    if context.invoked_subcommand is None:
        list_kept(as_json)


@app.command("list")
def list_kept(as_json: JsonOption = False) -> None:
    """List what is kept: bytes, the day of the last use, the model, frames, and the video.

    \b
    Examples:
      sharpv seen list
      sharpv seen list --json | jq -r ".kept[].video"
    """
    terminal.require_stdout()
    store = _store()
    found = list(store.heads())
    if as_json:
        kept = [_told(one, head) for one, head in found]
        terminal.write_json({"schema": "sharpv.seen/1", "folder": os.fspath(store.folder), "kept": kept})
        return
    for one, head in found:
        terminal.write_answer(f"{_line(one, head)}\n")
    total = sum(one.size for one, _ in found)
    terminal.say("note", f"{len(found)} clips, {disk_size(total)}, in {shown(store.folder)}")


@app.command()
def show(
    video: VideoArgument,
    sheet: Annotated[
        Path | None, option("--sheet FILE.png", "Write the frames, with what was kept of them, as a picture.")
    ] = None,
) -> None:
    """Show all that is kept of a video: with which model and settings, on what it was made, and when.

    \b
    Examples:
      sharpv seen show talk.mp4
      sharpv seen show talk.mp4 --sheet talk.png
    """
    terminal.require_stdout()
    found = _of(_store(), video)
    if sheet is not None:
        _write_sheet(found[0][0].path, sheet)
    for one, head in found:
        facts = {
            "file": os.fspath(one.path),
            "video": head.info.path,
            "sha256": head.video,
            "bytes": disk_size(one.size),
            "made": _day(head.created),
            "used": _day(one.used),
            "model": f"{head.model} ({head.family}, {head.dtype}, {head.attention}, {head.engine})",
            "device": head.device,
            "pruning": f"{head.mode}, scale up to {head.scale:g}",
            "settings": head.settings,
        }
        width = max(map(len, facts))
        lines = (f"{name:{width}}  {printable(str(value))}\n" for name, value in facts.items())
        terminal.write_answer("".join(lines) + "\n")


@app.command()
def remove(video: VideoArgument, quiet: QuietOption = False) -> None:
    """Remove all that is kept of a video.

    \b
    Examples:
      sharpv seen remove talk.mp4
    """
    from sharpv_cli.seen.store import remove as remove_file

    terminal.set_level(quiet=quiet)
    found = _of(_store(), video)
    for one, _ in found:
        remove_file(one.path)
    terminal.say("note", f"removed {disk_size(sum(one.size for one, _ in found))} of {shown(video)}")


@app.command()
def clear(quiet: QuietOption = False) -> None:
    """Remove all that is kept of all videos.

    \b
    Examples:
      sharpv seen clear
    """
    terminal.set_level(quiet=quiet)
    store = _store()
    count = store.clear()
    terminal.say("note", f"removed {count} files from {shown(store.folder)}")


@app.command("export")
def export_kept(
    video: VideoArgument,
    out: Annotated[Path, option("--out -o FILE.seen", "Where to write it.", show_default=False)],
    quiet: QuietOption = False,
) -> None:
    """Write what is kept of a video, the last used of it, as a file that `sharpv ask` takes in the video's place.

    It holds small pictures of the frames, and what the model needs to answer about them: give it to nobody who may not
    see the video.

    \b
    Examples:
      sharpv seen export talk.mp4 -o talk.seen
      sharpv ask talk.seen "who is speaking?"
    """
    from sharpv_cli.seen.travelling import export

    terminal.set_level(quiet=quiet)
    kept, head = _of(_store(), video)[0]
    check_writable(out)
    size = export(kept.path, out)
    terminal.say("note", f"{disk_size(size)} written to {shown(out)}, for {head.model}")


@app.command("import")
def import_kept(
    file: Annotated[Path, typer.Argument(metavar="FILE.seen", help="What `sharpv seen export` wrote.")],
    quiet: QuietOption = False,
) -> None:
    """Take a file of `sharpv seen export` into the store, so that its video is known here.

    \b
    Examples:
      sharpv seen import talk.seen
    """
    from sharpv_cli.seen.key import software
    from sharpv_cli.seen.travelling import bring

    terminal.set_level(quiet=quiet)
    store = _store()
    try:
        entry, is_new = bring(file, store)
    except OSError as error:
        raise UsageError(f"cannot write to {shown(store.folder)}: {error.strerror}") from error
    head = entry.head
    told = "is kept" if is_new else "was kept before, and stays as it is"
    terminal.say("note", f"what was seen of {printable(head.info.path)} {told}")
    if head.key.software != software():
        terminal.say("note", "other versions made it: only `sharpv ask FILE.seen` uses it as it is")


def _store() -> Store:
    from sharpv_cli.seen.store import Store
    from sharpv_cli.settings import resolve

    store = Store.of(resolve({}, os.environ).settings.seen_max_bytes)
    if store is None:
        raise UsageError("there is no home folder", hint="set HOME, or XDG_CACHE_HOME")
    return store


def _of(store: Store, video: str) -> list[tuple[Kept, Head]]:
    found = store.of_video(video)
    if not found:
        raise VideoError(f"nothing is kept of {shown(video)}", hint="`sharpv seen list` shows all that is")
    return found


def _write_sheet(kept: Path, target: Path) -> None:
    """The contact sheet of what was used last."""
    from sharpv_cli.report.contact_sheet import KeptFrames, sheet_of
    from sharpv_cli.seen.travelling import read

    check_writable(target)
    entry = read(kept)
    held = entry.part.held.numpy()
    out = io.BytesIO()
    told = f"visual retention {format_percent(float(held.mean()))}"
    sheet_of(KeptFrames(entry.sample, held, entry.head.grid, told)).save(out, "PNG")
    write_whole(target, out.getvalue())
    terminal.say("note", f"contact sheet written to {shown(target)}")


def _line(one: Kept, head: Head | None) -> str:
    if head is None:
        return f"{disk_size(one.size):>10}  {_day(one.used)}  damaged  {shown(one.path)}"
    return (
        f"{disk_size(one.size):>10}  {_day(one.used)}  {printable(head.model)}  {printable(head.info.path)}"
    )


def _told(one: Kept, head: Head | None) -> dict[str, object]:
    common: dict[str, object] = {"file": os.fspath(one.path), "bytes": one.size, "used_sec": one.used}
    if head is None:
        return {**common, "damaged": True}
    made = head.model_dump(include={"model", "family", "dtype", "device", "mode", "scale"})
    return {**common, "damaged": False, "video": head.info.path, "created_sec": head.created, **made}


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
