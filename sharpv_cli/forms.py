"""From what a user wrote to what an answer has to look like. Known without the model, and checked before it is there.

Schemas and expressions become grammars of llguidance, which refuses what it cannot hold an answer to: so a finished
answer is valid.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from sharpv_cli.errors import UsageError
from sharpv_cli.settings.limits import require_length
from sharpv_cli.types import Form

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

Schema = Mapping[str, object] | bool
"""A JSON schema."""

# Spaces as people write JSON, and no others: a model that may put in as many as it likes can go on for ever. The two
# others would let an answer end that is not valid.
_JSON: JsonCompileOptions = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "lenient": False,
    "coerce_one_of": False,
}
_CHOICES_HINT = "for example --choices car,person,nothing; --choice TEXT takes one with commas in it"
_SCHEMA_HINT = (
    'for example {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}'
)


def form_of(
    *,
    choices: Iterable[str] = (),
    json_schema: Schema | str | None = None,
    regex: str | None = None,
    logprobs: bool = False,
) -> Form:
    """The form of an answer; a schema may be JSON text. Raises UsageError for what no answer can be held to."""
    listed = tuple(choice.strip() for choice in choices)
    if sum((bool(listed), json_schema is not None, regex is not None)) > 1:
        raise UsageError(
            "choices, a JSON schema and a regular expression exclude each other", hint="give one of them"
        )
    if listed:
        _check_choices(listed)
        return Form(choices=listed, logprobs=logprobs)
    if json_schema is not None:
        return Form(grammar=_of_schema(json_schema), is_json=True, logprobs=logprobs)
    if regex is not None:
        return Form(grammar=_of_regex(regex), logprobs=logprobs)
    return Form(logprobs=logprobs)


def _check_choices(choices: tuple[str, ...]) -> None:
    if not all(choices):
        raise UsageError("one of the choices is empty", hint=_CHOICES_HINT)
    if len(choices) < 2:
        raise UsageError(f"only one choice: {choices[0]!r}", hint=_CHOICES_HINT)
    if repeated := next((choice for choice in choices if choices.count(choice) > 1), None):
        raise UsageError(f"the choice {repeated!r} is given twice", hint="leave one out")
    require_length("".join(choices), "the choices")


def _of_schema(schema: Schema | str) -> str:
    from llguidance import LLMatcher

    try:
        parsed = json.loads(schema) if isinstance(schema, str) else schema
        grammar = LLMatcher.grammar_from_json_schema(json.dumps(parsed), overrides=_JSON)
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"the JSON schema cannot be read: {error}", hint=_SCHEMA_HINT) from error
    if fault := LLMatcher.validate_grammar(grammar):
        raise UsageError(
            f"no answer can be held to the JSON schema: {' '.join(fault.split())}",
            hint="leave that out of the schema, and check it in the answer",
        )
    return grammar


def _of_regex(pattern: str) -> str:
    from llguidance import LLMatcher

    require_length(pattern, "the regular expression")
    grammar = LLMatcher.grammar_from_regex(pattern)
    if fault := LLMatcher.validate_grammar(grammar):
        raise UsageError(
            f"the regular expression {pattern!r} cannot be used: {' '.join(fault.split())}",
            hint="the whole answer has to match; look-around and back-references are not possible",
        )
    return grammar
