"""A model's config as its file has it, without transformers: for files that say every size themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self


class PlainConfig:
    """What transformers' config object says of a model's sizes; it answers as that does."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        try:
            value = self._values[name]
        except KeyError as error:
            raise AttributeError(name) from error
        return PlainConfig(value) if name in ("text_config", "vision_config") else value

    def get_text_config(self) -> Self:
        return self.text_config if "text_config" in self._values else self

    def to_dict(self) -> dict[str, Any]:
        return dict(self._values)
