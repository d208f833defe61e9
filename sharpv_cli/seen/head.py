"""What stands in the header of a file of the store: safetensors, whose metadata say what its tensors are of.

Reading a head takes no torch. What it says is checked here; that the tensors are what it says, in `entry`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sharpv_cli.seen.key import Maker, VisualKey

FORMAT: Literal["sharpv.seen/1"] = "sharpv.seen/1"
METADATA = "__metadata__"
HEAD, DIGEST = "head", "sha256"  # in them
_MOST_HEAD_BYTES = 16 << 20
_BEGINNING = f'{{"{METADATA}"'.encode()

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=1, lt=2**31)]
Count = Annotated[int, Field(ge=0, lt=2**40)]
Dtype = Literal["float32", "bfloat16", "float16", "int64", "bool", "uint8"]
Time = Annotated[float, Field(ge=0)]
Thumbnail = Annotated[int, Field(ge=1, le=1024)]
Shape = Annotated[list[Count], Field(min_length=1, max_length=8)]


class DamagedError(Exception):
    """A file that is none of ours, or not as it was written; says what is wrong with it."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class VideoHead(_Part):
    """The fields of `types.VideoInfo`."""

    path: str
    container: str
    codec: str
    width: Size
    height: Size
    rotation_deg: Literal[0, 90, 180, 270]
    fps: Annotated[float, Field(gt=0)] | None
    duration_sec: Time | None
    frames_total: Size


class MadeHead(_Part):
    """The shapes and number formats of what the video processor made, and what it says of the video."""

    shapes: dict[str, tuple[Shape, Dtype]]
    metadata: dict[str, int | float | str | list[int] | None] | None


class Head(_Part):
    """What a file says of itself. `scale` is the largest that it serves, and where the model's context had no room for
    all that this keeps, `least_answer` the fewest tokens of answer beside which it holds enough. `height` and `width`
    are those of the pictures that were encoded, `thumbnails` those of the small ones; text goes on at position `after`.
    """

    format: Literal["sharpv.seen/1"]
    video: Digest
    ends: Annotated[str, Field(pattern="^[0-9a-f]{1,40}$")]
    checkpoint: str
    settings: str
    software: str
    dtype: str
    device: str
    attention: str
    engine: str
    model: str
    revision: str | None
    family: str
    created: Annotated[float, Field(ge=0, lt=2**36)]
    info: VideoHead
    strategy: Literal["uniform", "fps", "at"]
    warnings: list[str]
    height: Size
    width: Size
    grid: tuple[Size, Size]
    mode: Literal["adaptive", "manual", "off"]
    scale: Annotated[float, Field(gt=0)]
    least_answer: Size | None
    after: int | None
    made: MadeHead | None
    thumbnails: tuple[Thumbnail, Thumbnail]

    @property
    def key(self) -> VisualKey:
        return VisualKey(self.video, self.checkpoint, self.settings, self.software)

    @property
    def maker(self) -> Maker:
        return Maker(self.dtype, self.device, self.attention, self.engine)

    def told(self) -> str:
        """As it stands in the file."""
        return self.model_dump_json()


def is_ours(beginning: bytes) -> bool:
    """Whether a file that begins so is one of safetensors: no video is."""
    return beginning[8 : 8 + len(_BEGINNING)] == _BEGINNING


def read_head(file: str | os.PathLike[str]) -> Head:
    """Raises DamagedError, OSError."""
    if not S_ISREG(os.stat(file).st_mode):  # noqa: PTH116 - before it is opened: a pipe would wait
        raise DamagedError("it is no regular file")
    with Path(file).open("rb") as stream:
        return head_of(metadata_of(stream.read).get(HEAD))


def head_of(told: object) -> Head:
    """Raises DamagedError."""
    if not isinstance(told, str):
        raise DamagedError("it is no file of what sharpv has seen")
    try:
        return Head.model_validate_json(told)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise DamagedError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def metadata_of(read: Callable[[int], bytes]) -> dict[str, Any]:
    """Of the file that is `read`, so many bytes at a time. Raises DamagedError."""
    length = int.from_bytes(read(8), "little")
    if not 0 < length <= _MOST_HEAD_BYTES:
        raise DamagedError("it does not begin as a file of safetensors does")
    try:
        metadata = json.loads(read(length))[METADATA]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError("its header is not one of safetensors") from error
    return metadata if isinstance(metadata, dict) else {}
