"""The form of an answer, from the options that describe it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sharpv_cli.smallfile import read_text
from sharpv_cli.text import shown

if TYPE_CHECKING:
    from sharpv_cli.commands.options import Flags
    from sharpv_cli.types import Form

_MOST_BYTES = 1 << 20
_HINT = "give a file with a JSON schema, or the schema itself, which begins with {"


def read_form(wanted: Flags) -> Form:
    """What FORM_OPTIONS ask for. Raises UsageError for what no answer can be held to."""
    from sharpv_cli.forms import form_of

    given: dict[str, Any] = dict(wanted)
    listed = given["choices"]
    choices = [*([] if listed is None else listed.split(",")), *(given["choice"] or [])]
    return form_of(
        choices=choices,
        json_schema=_schema(given["json-schema"]),
        regex=given["regex"],
        logprobs=bool(given["logprobs"]),
    )


def _schema(given: str | None) -> str | None:
    """A schema's text: what was typed, or what is in the file of that name."""
    if given is None or given.lstrip().startswith("{"):
        return given
    return read_text(given, most=_MOST_BYTES, name=f"--json-schema {shown(given)}", hint=_HINT)
