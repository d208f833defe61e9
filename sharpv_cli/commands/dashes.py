"""Questions that begin with a dash, which would be taken for options."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def with_texts_behind(arguments: Sequence[str], parameters: Iterable[Any]) -> list[str]:
    """The arguments with all texts behind `--` if one of them begins with a dash and can be no option."""
    options = _Options(parameters)
    named, texts, rest = options.sorted(arguments)
    if not any(options.is_text(text) for text in texts):
        return list(arguments)
    return [*named, "--", *texts, *rest]


class _Options:
    def __init__(self, parameters: Iterable[Any]) -> None:
        known = [one for one in parameters if one.param_type_name == "option"]
        self._names = {name for one in known for name in (*one.opts, *one.secondary_opts)}
        self._valued = {name for one in known if not one.is_flag for name in one.opts}

    def sorted(self, arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
        """Options with their values, texts, and what stands behind a `--` that is there already."""
        named: list[str] = []
        texts: list[str] = []
        valued = False
        for place, argument in enumerate(arguments):
            if argument == "--" and not valued:
                return named, texts, list(arguments[place + 1 :])
            option = not valued and self._is_option(argument)
            (named if option or valued else texts).append(argument)
            valued = option and argument in self._valued
        return named, texts, []

    def is_text(self, argument: str) -> bool:
        """Several words behind a dash, of which the first names no option: `-x what?`, but not `--frames 3`."""
        first, *more = argument.split(maxsplit=1)[:2] or [""]
        return bool(more) and argument.startswith("-") and not self._names_option(first)

    def _is_option(self, argument: str) -> bool:
        return argument.startswith("-") and argument != "-" and not self.is_text(argument)

    def _names_option(self, word: str) -> bool:
        """Also where the value is joined to it: `--stop=a`, `-qwhat`."""
        joined = word[:2] in self._valued and not word.startswith("--")
        return joined or word.partition("=")[0] in self._names
