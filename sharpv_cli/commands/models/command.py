"""`sharpv models`: the profiles, how large their models are, what is on this machine, and downloads."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from sharpv_cli import terminal
from sharpv_cli.commands import pulling
from sharpv_cli.commands.options import JsonOption, profile_names
from sharpv_cli.errors import UsageError
from sharpv_cli.units import disk_size, parameter_count

if TYPE_CHECKING:
    from sharpv_cli.settings import ModelSettings, Resolved

app = typer.Typer(
    rich_markup_mode=None, help="Profiles, their models, what is on this machine, and downloads."
)

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME|PATH|ID", help="A profile, a folder, or a hub id.", autocompletion=profile_names
    ),
]


class Row(TypedDict):
    """One profile in `sharpv models list --json`; `local_bytes` is None where the model is not here.

    `local_complete` is false for a download that was interrupted. `parameters` is None where nothing is known of
    the model; `problem` says what stands against using it here (a family that is not known, a package that is not
    installed), None for nothing.
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
    problem: str | None


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the profiles: parameters of their models, bytes on this machine, and model ids where there is room.

    What a profile needs and this machine lacks, such as a package, is said on stderr.

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
        _write_table(rows)


@app.command("show")
def show_model(name: NameArgument) -> None:
    """Print every setting of a profile as YAML, each with its origin, and what is known of a model that is here.

    \b
    Examples:
      sharpv models show llava-ov-7b
      sharpv models show llava-ov-7b > mine.yaml
      sharpv models show ./my-checkpoint
    """
    from sharpv_cli.settings import as_yaml

    resolved = _resolved(name)
    head = [f"{resolved.profile_name} ({resolved.profile_source})", *_facts(resolved.settings.model)]
    comments = "".join(f"# {line}\n" for line in head)
    terminal.write_answer(f"{comments}{as_yaml(resolved)}")


@app.command("pull")
def pull_model(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME|ID", help="A profile, or a hub id.", autocompletion=profile_names),
    ],
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="REV", help="Branch, tag or commit on the hub.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the download.")] = False,
) -> None:
    """Download a model, or what is missing or newer of it, and print its folder.

    Says first how much there is to download; on a terminal it asks. Ctrl-C keeps the files that are finished, and
    the same command goes on from there.

    \b
    Examples:
      sharpv models pull llava-ov-0.5b
      sharpv models pull llava-hf/llava-onevision-qwen2-0.5b-ov-hf --yes
    """
    from sharpv_cli.models import checkpoint, hub

    terminal.require_stdout()
    resolved = _resolved(name, revision)
    model = resolved.settings.model
    if checkpoint.is_local(model.id):
        raise UsageError(f"{name}: nothing to download", hint="its model is a folder on this machine")
    if resolved.settings.offline:
        raise UsageError("a download, and offline", hint="leave out SHARPV_OFFLINE")
    planned = hub.plan(model)
    terminal.say("note", pulling.told(planned))
    if planned.missing_files:
        hub.require_space(planned)
        if not pulling.agreed(lambda: typer.confirm("download it?", default=True, err=True), yes=yes):
            raise typer.Exit(terminal.INTERRUPTED)
    pulling.fetch(model, planned)  # also where nothing is missing: it notes the branch's newest commit
    terminal.write_answer(f"{checkpoint.fetch(model, offline=True)}\n")


def _resolved(name: str, revision: str | None = None) -> Resolved:
    """The settings that go by a profile's name or path, or by a model's folder or hub id."""
    from sharpv_cli.models.checkpoint import is_local
    from sharpv_cli.settings import BUILTIN_MODEL, DEFAULT_PROFILE, profile_paths, resolve

    flags = {"revision": revision}
    is_profile = name in profile_paths(os.environ) or name.endswith((".yaml", ".yml"))
    if name == BUILTIN_MODEL and not is_profile:
        return resolve(flags, os.environ, profile=DEFAULT_PROFILE)
    if is_profile or not ("/" in name or (is_local(name) and Path(name).is_dir())):
        return resolve(flags, os.environ, profile=name)
    return resolve(flags | {"model": name}, os.environ)


def _facts(model: ModelSettings) -> list[str]:
    """Lines about a model on this machine; what is wrong with it is one of them."""
    from sharpv_cli.errors import ModelError
    from sharpv_cli.models import checkpoint
    from sharpv_cli.models.facts import read_facts
    from sharpv_cli.models.inspecting import inspect
    from sharpv_cli.models.local import local_size

    try:
        folder = checkpoint.locate(model)
        if folder is None:
            part = local_size(model.id)
            here = f"partly downloaded, {disk_size(part)}" if part else "not on this machine"
            return [here, *_published(model)]
        inspect(folder, model)
        facts = read_facts(folder, model.id)
    except ModelError as error:
        return [f"cannot be loaded: {error}"]
    context = "transformers' default" if facts.context is None else str(facts.context)
    quantized = f", quantised ({facts.quantization})" if facts.quantization else ""
    return [
        f"folder: {folder}",
        f"family: {facts.family}, {facts.layers} layers, context: {context}",
        f"weights: {disk_size(facts.weights_bytes)}, {', '.join(facts.dtypes)}{quantized}",
        f"attention here: {', '.join(facts.attention)}",
    ]


def _published(model: ModelSettings) -> list[str]:
    """What comes with sharpv about a model that is not here."""
    from sharpv_cli.models.known import shipped

    if (facts := shipped().get(model.id)) is None:
        return []
    count, dtype = facts["parameters"], facts["dtype"]
    size = disk_size(count * (4 if dtype == "float32" else 2))
    return [
        f"family: {facts['config']['model_type']}",
        f"weights: {parameter_count(count)} parameters, about {size}, {dtype}",
    ]


def _config_home() -> dict[str, str]:
    """The profiles as they are: of the environment only where the user's own ones lie."""
    return {key: os.environ[key] for key in ("HOME", "XDG_CONFIG_HOME") if key in os.environ}


def _row(resolved: Resolved) -> Row:
    from sharpv_cli.models.families import FAMILIES
    from sharpv_cli.models.known import parameters
    from sharpv_cli.models.local import is_complete, local_size

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
        problem=_problem(model),
    )


def _problem(model: ModelSettings) -> str | None:
    """What stands against the model's family here, with what to do about it."""
    from sharpv_cli.errors import ModelError
    from sharpv_cli.models.inspecting import inspect_config

    try:
        if model.family is not None:
            inspect_config({"model_type": model.family}, model)
    except ModelError as error:
        return f"{error}; {error.hint}" if error.hint else str(error)
    return None


def _write_table(rows: list[Row]) -> None:
    """Plain columns that cut cleanly with awk; a terminal that is too narrow gets no model ids."""
    from sharpv_cli.report.layout import ASCII, Column, natural_width, table

    columns = (
        Column("PROFILE", tuple(row["name"] for row in rows)),
        Column("SIZE", tuple(_size(row) for row in rows), right=True),
        Column("LOCAL", tuple(_local(row) for row in rows), right=True),
        Column("MODEL", tuple(row["model"] for row in rows), rank=1),
    )
    terminal.require_stdout()
    whole = natural_width(columns)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else whole
    terminal.write_answer("".join(f"{line.plain}\n" for line in table(columns, width, ASCII)))
    for row in rows:
        if row["problem"]:
            terminal.say("note", f"{row['name']} cannot be used yet: {row['problem']}")


def _size(row: Row) -> str:
    """Parameters, which is what models go by."""
    return "-" if row["parameters"] is None else parameter_count(row["parameters"]).replace(" ", "")


def _local(row: Row) -> str:
    """The size of what is here, a dash for nothing, and for a part of it that it is one."""
    if not row["local_bytes"]:
        return "-"
    return disk_size(row["local_bytes"]).replace(" ", "") if row["local_complete"] else "partial"
