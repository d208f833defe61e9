"""JSON files of a checkpoint, which anybody may have written: an object, from a regular file of a bounded size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sharpv_cli.errors import ModelError

CONFIG = "config.json"
AGAIN = "copy or download it again"
_MOST_BYTES = 64 << 20  # an index of a thousand shards has a few


def read_json(folder: Path, file: str, name: str) -> dict[str, Any]:
    """The object in a JSON file of a checkpoint. Raises ModelError."""
    path = folder / file
    try:
        content = json.loads(_text(path))
    except FileNotFoundError as error:
        raise ModelError(
            f"{name}: no {file} in the folder",
            hint="is it the folder of a checkpoint in transformers format?",
        ) from error
    except RecursionError as error:
        raise ModelError(f"{name}: {file} is nested too deeply", hint=AGAIN) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{name}: {file} cannot be read: {error}", hint=AGAIN) from error
    if not isinstance(content, dict):
        raise ModelError(f"{name}: {file} is not a JSON object", hint=AGAIN)
    return content


def _text(path: Path) -> str:
    """A pipe or a device would be waited for, or be read without end."""
    size = path.stat().st_size
    if not path.is_file():
        raise ValueError("it is no regular file")
    if size > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES >> 20} MiB")
    return path.read_text(encoding="utf-8")
