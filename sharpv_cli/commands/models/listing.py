"""The rows of `sharpv models list`: profiles, how large their models are, and what is on this machine."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TypedDict

from sharpv_cli import terminal
from sharpv_cli.errors import ModelError, UsageError
from sharpv_cli.models.checkpoint import is_complete
from sharpv_cli.models.families import FAMILIES
from sharpv_cli.models.inspecting import inspect_config
from sharpv_cli.models.known import parameters, published_bytes
from sharpv_cli.models.on_disk import is_local, local_size
from sharpv_cli.settings import ModelSettings, Resolved, profile_paths, resolve
from sharpv_cli.text import printable
from sharpv_cli.units import disk_size


class Row(TypedDict):
    """One profile in `sharpv models list --json`; `local_bytes` is None where the model is not here.

    `local_complete` is false for a download that was interrupted. `download_bytes` are those of the weights as they are
    published, 0 where there is nothing to download; it and `parameters` are None where nothing is known of the model.
    `problem` says what stands against using it here (a family that is not known, a package that is not installed), None
    for nothing.
    """

    name: str
    source: str
    description: str | None
    model: str
    revision: str | None
    family: str | None
    supported: bool
    local_bytes: int | None
    local_complete: bool
    parameters: int | None
    download_bytes: int | None
    problem: str | None


def rows() -> list[Row]:
    """A row of each profile that can be read; a warning for each that cannot."""
    found = []
    for name in profile_paths(os.environ):
        try:
            found.append(_row(resolve({}, _config_home(), profile=name)))
        except UsageError as error:
            terminal.say("warning", f"left out: {error}")
    return found


def _config_home() -> dict[str, str]:
    """The profiles as they are: of the environment only where the user's own ones lie."""
    return {key: os.environ[key] for key in ("HOME", "XDG_CONFIG_HOME") if key in os.environ}


def _row(resolved: Resolved) -> Row:
    model = resolved.settings.model
    found = local_size(model.id)
    return Row(
        name=resolved.profile_name,
        source=resolved.profile_source,
        description=resolved.description,
        model=model.id,
        revision=model.revision,
        family=model.family,
        supported=model.family in FAMILIES,
        local_bytes=found,
        local_complete=bool(found) and is_complete(model),
        parameters=parameters(model),
        download_bytes=0 if is_local(model.id) else published_bytes(model.id),
        problem=_problem(model),
    )


def _problem(model: ModelSettings) -> str | None:
    """What stands against the model's family here, with what to do about it."""
    try:
        if model.family is not None:
            inspect_config({"model_type": model.family}, model)
    except ModelError as error:
        return f"{error}; {error.hint}" if error.hint else str(error)
    return None


def write_table(rows: list[Row]) -> None:
    """Plain columns that cut cleanly with awk; on a terminal that is too narrow, model ids stand below their rows."""
    from sharpv_cli.report.layout import ASCII, Column, natural_width, table

    columns = (
        Column("PROFILE", tuple(printable(row["name"]) for row in rows)),
        Column("SIZE", tuple(_size(row) for row in rows), right=True),
        Column("LOCAL", tuple(_local(row) for row in rows), right=True),
    )
    ids = Column("MODEL", tuple(printable(row["model"]) for row in rows))
    terminal.require_stdout()
    whole = natural_width((*columns, ids))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else whole
    if width >= whole:
        lines = [line.plain for line in table((*columns, ids), whole, ASCII)]
    else:
        head, *left = (line.plain for line in table(columns, natural_width(columns), ASCII))
        lines = [
            head,
            *(text for line, id in zip(left, ids.cells, strict=True) for text in (line, f"  {id}")),
        ]
    terminal.write_answer("".join(f"{line}\n" for line in lines))
    for row in rows:
        if row["problem"]:
            terminal.say("note", f"{row['name']} cannot be used yet: {row['problem']}")


def _size(row: Row) -> str:
    """Of the download, a dash where nobody knows before the hub is asked."""
    return "-" if row["download_bytes"] is None else disk_size(row["download_bytes"]).replace(" ", "")


def _local(row: Row) -> str:
    """The size of what is here, a dash for nothing, and for a part of it that it is one."""
    if not row["local_bytes"]:
        return "-"
    return disk_size(row["local_bytes"]).replace(" ", "") if row["local_complete"] else "partial"
