"""Answers held to JSON schemas: whether what is finished is valid, and what it costs a token.

`python -m sharpv_cli.benchmarks.json_answers demo/moving.mp4 --schemas 50` asks for an answer of each of so many
schemas, drawn from seeds (nested objects, enums, bounded numbers, arrays, texts, Unicode), greedily and sampled, with
both engines, and beside each for one of any text. Validity is jsonschema's word.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import Any

import jsonschema

from sharpv_cli.engine.factory import Wanted
from sharpv_cli.forms import form_of
from sharpv_cli.pipeline.clip import Clip
from sharpv_cli.pipeline.frames import decode_whole
from sharpv_cli.pipeline.prompts import SharedPrompts
from sharpv_cli.pipeline.question import answer, whole_answer
from sharpv_cli.session import Session, open_session
from sharpv_cli.settings import Settings, resolve
from sharpv_cli.types import ANY_TEXT, Answer, Form

QUESTION = "Describe the video."
_ENGINES: tuple[Wanted, ...] = ("fast", "reference")
_WORDS = ("red", "grün", "赤い丸", "ß", "🙂 ok", 'a "quoted" word', "back\\slash", "left", "нет", "")


def schema_of(seed: int) -> dict[str, Any]:
    """A schema that is drawn from a seed."""
    return _drawn(random.Random(f"schema:{seed}"), depth=3)


def _drawn(rng: random.Random, depth: int) -> dict[str, Any]:
    leaves = (_enum, _integer, _number, _text, _fixed)
    nested = (_object, _object, _array, _either)
    return rng.choice(nested)(rng, depth - 1) if depth > 0 and rng.random() < 0.7 else rng.choice(leaves)(rng)


def _enum(rng: random.Random) -> dict[str, Any]:
    return {"enum": [*rng.sample(_WORDS, 3), *rng.sample((None, True, 7, 0.5), 2)]}


def _integer(rng: random.Random) -> dict[str, Any]:
    low = rng.randint(-50, 50)
    return {"type": "integer", "minimum": low, "maximum": low + rng.randint(0, 999)}


def _number(rng: random.Random) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "exclusiveMaximum": rng.choice((1, 10, 2.5))}


def _text(rng: random.Random) -> dict[str, Any]:
    if rng.random() < 0.5:
        return {
            "type": "string",
            "pattern": rng.choice(("^[a-c]{1,4}$", "^[0-9]{2}:[0-9]{2}$", "^(ja|nein)+$")),
        }
    return {"type": "string", "minLength": 1, "maxLength": rng.randint(1, 12)}


def _fixed(rng: random.Random) -> dict[str, Any]:
    return {"const": rng.choice((*_WORDS, [1, {"a": None}]))}


def _object(rng: random.Random, depth: int) -> dict[str, Any]:
    names = rng.sample(("colour", "größe", "形", "at", "n"), rng.randint(1, 4))
    return {
        "type": "object",
        "properties": {name: _drawn(rng, depth) for name in names},
        "required": rng.sample(names, rng.randint(0, len(names))),
        "additionalProperties": False,
    }


def _array(rng: random.Random, depth: int) -> dict[str, Any]:
    low = rng.randint(0, 2)
    return {
        "type": "array",
        "items": _drawn(rng, depth),
        "minItems": low,
        "maxItems": low + rng.randint(1, 2),
    }


def _either(rng: random.Random, depth: int) -> dict[str, Any]:
    return {"anyOf": [_drawn(rng, depth), {"type": "null"}]}


class Trial:
    """All answers about one clip with one session. Raises ValidationError for a finished one that is not valid."""

    def __init__(self, session: Session, video: str, settings: Settings) -> None:
        self._clip = Clip(session, decode_whole(video, settings), settings)
        self._prompts = SharedPrompts(self._clip)
        self.tpots: dict[bool, list[float]] = {True: [], False: []}
        self.ends: Counter[str] = Counter()

    def hold(self, schema: dict[str, Any]) -> None:
        got = self._asked(form_of(json_schema=schema))
        self.ends[got.finish_reason] += 1
        if got.is_complete:
            jsonschema.validate(got.value, schema)
        self._asked(ANY_TEXT)

    def _asked(self, form: Form) -> Answer:
        got = whole_answer(answer(self._prompts, QUESTION, form=form))
        if got.timing.tpot_sec is not None:
            self.tpots[form is not ANY_TEXT].append(got.timing.tpot_sec)
        return got


def rows(args: argparse.Namespace) -> Iterator[str]:
    base = resolve({"model": args.model, "max-new-tokens": args.max_new_tokens}, {}).settings
    for temperature in (0.0, 1.5):
        generation = base.generation.model_copy(update={"temperature": temperature, "seed": 1})
        settings = base.model_copy(update={"generation": generation})
        loaded = open_session(settings).loaded
        for engine in _ENGINES:
            trial = Trial(Session.of(loaded, engine), args.video, settings)
            for seed in range(args.schemas):
                trial.hold(schema_of(seed))
            held, free = (median(trial.tpots[form] or [float("nan")]) for form in (True, False))
            name, finished = (
                f"{loaded.info.family}, {engine}, temperature {temperature:g}",
                trial.ends["stop"],
            )
            yield f"| {name} | {args.schemas} | {finished} | {1 / held:.0f} | {1 / free:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video")
    parser.add_argument("--model", default=None)
    parser.add_argument("--schemas", type=int, default=50)
    parser.add_argument("--max-new-tokens", type=int, default=200)
    args = parser.parse_args()
    print("| model | schemas | finished and valid | tokens/s held | tokens/s free |")
    print("| :--- | ---: | ---: | ---: | ---: |")
    for row in rows(args):
        print(row, flush=True)


if __name__ == "__main__":
    main()
