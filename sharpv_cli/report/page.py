"""The report page: one HTML file that holds all there is to see of some answers, and loads nothing.

Its template, style and script are files of their own (`assets/report`), put into one when it is written. What it
shows comes as data, in which nothing foreign can become markup; the script shows all of it as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import groupby

from sharpv_cli import __version__
from sharpv_cli.report import figures
from sharpv_cli.report.document import Asked
from sharpv_cli.report.figures import similarity_digits
from sharpv_cli.report.page_frames import clip_frames
from sharpv_cli.report.sizes import format_bytes, format_percent
from sharpv_cli.text import shortened
from sharpv_cli.types import Answer

MOST_BYTES = 8_000_000  # of a page, however long the clip
MOST_BYTES_OF_FEW = 1_500_000  # where no clip has more frames than this
FEW = 32
_SHORT = 80  # characters of an answer in a headline


def report_page(asked: Sequence[Asked]) -> bytes:
    """The page of answers, in the order in which they were asked."""
    clips = [list(group) for group in _by_clip(asked)]
    texts = [[_answer(one.answer, one.profile) for one in group] for group in clips]
    few = all(len(one.answer.retention) <= FEW for one in asked)
    room = (MOST_BYTES_OF_FEW if few else MOST_BYTES) - len(_json(texts)) - len(one_file("report", DATA=""))
    data = [
        {**clip_frames(first.answer, room // len(clips)), "name": first.answer.video.path, "answers": shown}
        for (first, *_), shown in zip(clips, texts, strict=True)
    ]
    return one_file("report", DATA=_json({"clips": data}))


def _by_clip(asked: Sequence[Asked]) -> Iterator[Iterator[Asked]]:
    """Neighbours that show the same frames, with the same tokens kept, share them on the page."""
    firsts: list[Answer] = []

    def clip(one: Asked) -> int:
        if not firsts or not figures.same_frames(firsts[-1], one.answer):
            firsts.append(one.answer)
        return len(firsts)

    return (group for _, group in groupby(asked, key=clip))


def one_file(name: str, **texts: str) -> bytes:
    """The template of this name with the style, and if it has one the script; `texts` go to their places in it."""
    style, script = _asset("report.css"), _asset("report.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    page = _asset(f"{name}.html").replace("{{POLICY}}", policy).replace("{{STYLE}}", style)
    page = page.replace("{{SCRIPT}}", script)
    for place, text in texts.items():
        before, after = page.split(f"{{{{{place}}}}}")  # the last one: in foreign text there may be anything
        page = f"{before}{text}{after}"
    return page.encode()


def _asset(name: str) -> str:
    return (files("sharpv_cli") / "assets" / "report" / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """How a policy names the one text that may run, or style the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(data: object) -> str:
    """ASCII in which no `<` can end the element that holds it."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _answer(answer: Answer, told: Mapping[str, object]) -> dict[str, object]:
    """What is shown of one answer, spelt as everywhere else."""
    text = answer.text.strip() or "(empty)"
    return {
        "question": answer.question,
        "short": text if len(text) <= _SHORT else f"{text[:_SHORT].rstrip()}…",
        "headline": figures.headline(answer),
        "told": [("question", answer.question), ("answer", answer.text), ("video", answer.video.path)],
        "shares": [
            {"ratio": ratio, "percent": format_percent(ratio), "told": said}
            for (_, ratio), said in zip(figures.budgets(answer), _budgets_told(answer), strict=True)
        ],
        "warnings": [shortened(warning) for warning in answer.warnings],
        "m": answer.m,
        "layers_told": figures.layers_told(answer),
        "layers": list(_layers(answer)),
        "stages": [
            {"title": title, "stages": [stage.document() for stage in stages]}
            for title, stages in figures.waterfall(answer)
        ],
        "machine": [*_machine(answer), *_settings(told)],
    }


def _budgets_told(answer: Answer) -> tuple[str, str]:
    memory = answer.memory
    return (
        f"visual retention: {answer.visual_kept} of {answer.visual_total} picture tokens were read",
        f"KV retention: of the picture entries of all layers; {format_bytes(memory.kv_bytes)} with text, "
        f"{format_bytes(memory.kv_dense_bytes)} without pruning",
    )


def _layers(answer: Answer) -> Iterator[dict[str, object]]:
    digits = similarity_digits(answer.layers, answer.m)
    dense = answer.memory.kv_dense_bytes / len(answer.layers)
    for layer in answer.layers:
        yield {
            "layer": layer.layer,
            "value": layer.similarity,
            "similarity": "not measured" if layer.similarity is None else f"{layer.similarity:.{digits}f}",
            "kept": layer.visual_kv_kept,
            "verdict": figures.verdict(layer),
            "bytes": format_bytes(layer.kv_bytes),
            "of_dense": layer.kv_bytes / dense,
        }


def _machine(answer: Answer) -> Iterator[tuple[str, str]]:
    yield from ((fact.label, fact.value) for fact in figures.model_facts(answer))
    yield "weights", format_bytes(answer.memory.weights_bytes)
    yield "peak memory", format_bytes(answer.memory.peak_bytes)
    yield "sharpv", __version__


def _settings(told: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in told.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", text) for inner, text in _settings(value))
        else:
            yield name, value if isinstance(value, str) else json.dumps(value, default=str)
