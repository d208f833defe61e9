"""Where a checkpoint keeps its chat template: that of its processor, or else that of its tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sharpv_cli.errors import ModelError

JINJA = "chat_template.jinja"
_JSON = ("chat_template.json", "processor_config.json", "tokenizer_config.json")


def give_template(processor: Any, name: str) -> None:
    """See that the processor has a template. Raises ModelError where neither it nor its tokenizer has one."""
    template = getattr(processor, "chat_template", None) or getattr(
        processor.tokenizer, "chat_template", None
    )
    if not template:
        raise ModelError(f"{name}: it has no chat template", hint=f"put its {JINJA} into the folder")
    if not isinstance(template, str) and not (isinstance(template, dict) and "default" in template):
        raise ModelError(
            f"{name}: it has several chat templates, and none of them is the default",
            hint=f"put the one that is meant into its folder as {JINJA}",
        )
    processor.chat_template = default_of(template)


def default_of(template: Any) -> Any:
    """Of several templates by name, the one that transformers takes."""
    return template["default"] if isinstance(template, dict) else template


def template_file(folder: Path, template: str) -> str:
    """The name of the file in a checkpoint's folder that has `template`."""
    if _text(folder / JINJA) == template:
        return JINJA
    return next((name for name in _JSON if template in _templates(_text(folder / name))), JINJA)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


def _templates(text: str) -> list[Any]:
    """Those in a JSON file: one, or several by name."""
    try:
        content = json.loads(text)
    except ValueError:
        return []
    found = content.get("chat_template") if isinstance(content, dict) else None
    if isinstance(found, list):
        return [entry.get("template") for entry in found if isinstance(entry, dict)]
    return list(found.values()) if isinstance(found, dict) else [found]
