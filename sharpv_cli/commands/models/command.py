"""`sharpv models`: the profiles, how large their models are, what is on this machine, and downloads."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from sharpv_cli import terminal
from sharpv_cli.commands import pulling
from sharpv_cli.commands.options import JsonOption, option, profile_names
from sharpv_cli.errors import UsageError
from sharpv_cli.text import printable

app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME|PATH|ID", help="A profile, a folder, or a hub id.", autocompletion=profile_names
    ),
]


@app.callback()
def models(context: typer.Context, as_json: JsonOption = False) -> None:
    """Profiles, their models, what is on this machine, and downloads; alone, `sharpv models` lists them.

    \b
    Examples:
      sharpv models
      sharpv models pull llava-ov-0.5b
    """
    if context.invoked_subcommand is None:
        list_models(as_json)


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the profiles: bytes to download, bytes on this machine, and model ids.

    A download is as large as the weights are in their published number format; `sharpv models pull` asks the hub.
    stderr names what a profile needs and this machine lacks, such as a package.

    \b
    Examples:
      sharpv models list
      sharpv models list --json | jq -r ".profiles[].name"
    """
    from sharpv_cli.commands.models import listing

    rows = listing.rows()
    if as_json:
        terminal.write_answer(json.dumps({"schema": "sharpv.models/1", "profiles": rows}, indent=2) + "\n")
    else:
        listing.write_table(rows)


@app.command("show")
def show_model(name: NameArgument) -> None:
    """Print every setting of a profile as YAML with its origin, and what is known about the model.

    \b
    Examples:
      sharpv models show llava-ov-7b
      sharpv models show llava-ov-7b > mine.yaml
      sharpv models show ./my-checkpoint
    """
    from sharpv_cli.commands.models import naming
    from sharpv_cli.settings import as_yaml

    resolved = naming.resolved(name)
    head = [f"{resolved.profile_name} ({resolved.profile_source})", *naming.facts(resolved.settings.model)]
    comments = "".join(f"# {printable(line)}\n" for line in head)
    terminal.write_answer(f"{comments}{as_yaml(resolved)}")


@app.command("pull")
def pull_model(
    name: Annotated[
        str, typer.Argument(metavar="NAME|ID", help="A profile, or a hub id.", autocompletion=profile_names)
    ],
    revision: Annotated[str | None, option("--revision REV", "Branch, tag or commit on the hub.")] = None,
    yes: Annotated[bool, option("--yes -y", "Download without asking.")] = False,
) -> None:
    """Download a model, or what is missing or newer of it, and print its folder.

    It first says how much there is to download, and on a terminal it asks. Ctrl-C keeps finished files, and rerunning
    resumes.

    \b
    Examples:
      sharpv models pull llava-ov-0.5b
      sharpv models pull llava-hf/llava-onevision-qwen2-0.5b-ov-hf --yes
    """
    from sharpv_cli.commands.models import naming
    from sharpv_cli.models import checkpoint, hub
    from sharpv_cli.models.on_disk import is_local

    terminal.require_stdout()
    resolved = naming.resolved(name, revision)
    model = resolved.settings.model
    if is_local(model.id):
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
    terminal.write_answer(f"{checkpoint.fetch(model, offline=True).folder}\n")
