"""`sharpv models`: the profiles, which of them answer in this release, and what is on this machine."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from sharpv_cli import terminal
from sharpv_cli.commands.options import JsonOption, profile_names
from sharpv_cli.errors import UsageError

if TYPE_CHECKING:
    from sharpv_cli.settings import Resolved

app = typer.Typer(rich_markup_mode=None, help="Profiles, their models, and what is already on this machine.")


class Row(TypedDict):
    """One profile in `sharpv models list --json`; `local_bytes` is None where the model is not here."""

    name: str
    source: str
    description: str | None
    model: str
    revision: str | None
    family: str | None
    supported: bool
    local_bytes: int | None


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the profiles: ready in this release or planned, and the size of what is on this machine.

    \b
    Examples:
      sharpv models list
      sharpv models list --json | jq -r ".profiles[].name"
    """
    from sharpv_cli.settings import profile_paths, resolve

    rows = []
    for name in profile_paths(os.environ):
        try:
            rows.append(_row(resolve({}, _config_home(), profile=name)))
        except UsageError as error:
            terminal.say("warning", f"left out: {error}")
    if as_json:
        terminal.write_answer(json.dumps({"schema": "sharpv.models/1", "profiles": rows}, indent=2) + "\n")
    else:
        terminal.write_answer(_table(rows))


@app.command("show")
def show_model(
    name: Annotated[
        str, typer.Argument(metavar="NAME|PATH", help="A profile.", autocompletion=profile_names)
    ],
) -> None:
    """Print every setting of a profile as YAML, with the place that each value comes from.

    \b
    Examples:
      sharpv models show llava-ov-7b
      sharpv models show llava-ov-7b > mine.yaml
    """
    from sharpv_cli.settings import as_yaml, resolve

    resolved = resolve({}, os.environ, profile=name)
    terminal.write_answer(f"# {resolved.profile_name} ({resolved.profile_source})\n{as_yaml(resolved)}")


def _config_home() -> dict[str, str]:
    """The profiles as they are: of the environment only where the user's own ones lie."""
    return {key: os.environ[key] for key in ("HOME", "XDG_CONFIG_HOME") if key in os.environ}


def _row(resolved: Resolved) -> Row:
    from sharpv_cli.models.families import FAMILIES
    from sharpv_cli.models.local import local_size

    model = resolved.settings.model
    return Row(
        name=resolved.profile_name,
        source=resolved.profile_source,
        description=resolved.description,
        model=model.id,
        revision=model.revision,
        family=model.family,
        supported=model.family in FAMILIES,
        local_bytes=local_size(model.id),
    )


def _table(rows: list[Row]) -> str:
    """Plain columns that fit a terminal of 80 and cut cleanly with awk."""
    lines = [f"{'PROFILE':<20} {'STATUS':<8} {'LOCAL':>7}  MODEL"]
    for row in rows:
        status = "ready" if row["supported"] else "planned"
        lines.append(f"{row['name']:<20} {status:<8} {_size(row['local_bytes']):>7}  {row['model']}")
    return "\n".join(lines) + "\n"


def _size(count: int | None) -> str:
    """Decimal units, as download pages have them; a dash for nothing."""
    if not count:
        return "-"
    return f"{count / 1e9:.1f}GB" if count >= 1e9 else f"{max(count / 1e6, 0.1):.1f}MB"
