"""Pictures of a run: their bars are as long as their figures, their text is text, and they say what they show."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from make_answer import make_answer, make_profile
from matplotlib.figure import Figure
from PIL import Image

from sharpv_cli.report import answer_picture, drawing, eval_picture, profile_picture
from sharpv_cli.report.document import Asked
from sharpv_cli.types import Answer, Evaluation, Interval, MethodScore

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}href"
THEMES = drawing.THEMES
ABOUT = {"name": "tiny"}


def picture_of(*answers: Answer, kind: str = "svg", theme: str = "light") -> bytes:
    return answer_picture.answer_picture([Asked(one, ABOUT) for one in answers], kind=kind, theme=theme)


def texts(svg: bytes) -> list[str]:
    return ["".join(element.itertext()).strip() for element in ET.fromstring(svg).iter(f"{SVG}text")]


def score(method: str, accuracy: float, visual: float, kv: float) -> MethodScore:
    interval = Interval(max(0.0, accuracy - 0.05), min(1.0, accuracy + 0.02))
    return MethodScore(
        method, accuracy, interval, None, None, visual, kv, None, 0.0, "fast", 0.001, 0.02, None, (), (), ()
    )


EVALUATION = Evaluation(
    "shapes", "builtin", "cpu", 200, 200, 100, "sharpv", "sharpv",
    (
        score("sharpv", 1.0, 0.1, 0.08), score("sharpv:scale=0.5", 0.9, 0.05, 0.04),
        score("dense", 0.99, 1.0, 1.0), score("evs$x$<b>", 0.7, 0.12, 0.12),
    ),
    (),
)  # fmt: skip


def drawn(parts: Iterator[drawing.Part]) -> Figure:
    return drawing.figure_of(list(parts), THEMES["light"])


def widths(figure: Figure, axes: int) -> list[float]:
    return [patch.get_width() for patch in figure.axes[axes].patches]


def test_an_svg_is_a_picture_that_loads_nothing() -> None:
    svg = picture_of(make_answer(4))
    root = ET.fromstring(svg)
    linked = [element.get(XLINK, "") for element in root.iter() if element.get(XLINK)]
    assert {link[:5] for link in linked if not link.startswith("#")} == {"data:"}
    assert not re.search(rb"@import|<script|url\((?!#)", svg)
    assert root.find(f"{SVG}title").text == "sharpv: what was kept of the video"
    assert len(list(root.iter(f"{SVG}image"))) == 4


def test_it_says_what_the_document_says() -> None:
    answer = make_answer(8)
    shown = " ".join(texts(picture_of(answer)))
    for text in (
        "red: answered from 343 of 1568 picture tokens", "(21.9%); KV cache 15.9 MiB to 2.6 MiB",
        "What colour is the circle?", "demo/circle.mp4", "21.9%", "13.1%", "0:01.5", "24/196", "M = 0.2",
        "decoder layer", "similarity", "prefill", "66.0 ms", "model load", "4.21 s",
    ):  # fmt: skip
        assert text in shown, text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_kinds_carry_the_digest_and_stand_on_the_paper_of_the_theme(theme: str) -> None:
    answer = make_answer(2)
    digest = drawing.digest_of([Asked(answer, ABOUT).document()])
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    assert digest.encode() in picture_of(answer, theme=theme)
    with Image.open(io.BytesIO(picture_of(answer, kind="png", theme=theme))) as png:
        assert png.text["Description"] == digest
        assert "#{:02x}{:02x}{:02x}".format(*png.convert("RGB").getpixel((2, 2))) == THEMES[theme].paper
    assert drawing.digest_of([Asked(replace(answer, text="other"), ABOUT).document()]) != digest


def test_the_same_answer_gives_the_same_bytes() -> None:
    assert picture_of(make_answer(2)) == picture_of(make_answer(2))


def test_bars_are_as_long_as_their_figures() -> None:
    answer = make_answer(3)
    figure = drawn(answer_picture._parts(answer, None))
    assert widths(figure, 0)[2:] == pytest.approx([answer.visual_retention, answer.memory.kv_retention])
    for frame, retention in enumerate(answer.retention):
        assert widths(figure, 2 + 2 * frame) == pytest.approx([1, retention.ratio])
    similarity, stored = figure.axes[7:9]
    assert [bar.get_height() for bar in similarity.patches] == pytest.approx(
        [one.similarity for one in answer.layers]
    )
    assert [bool(bar.get_hatch()) for bar in similarity.patches] == [
        not one.visual_kv_kept for one in answer.layers
    ]
    sizes = [bar.get_height() for bar in stored.patches][len(answer.layers) :]
    assert sizes == pytest.approx([one.kv_bytes / 1024 for one in answer.layers])


def test_pruned_patches_are_veiled_and_kept_ones_are_not() -> None:
    answer = make_answer(1, tokens=4, kept=[2])
    image = drawn(answer_picture._parts(answer, None)).axes[1].images[0].get_array()
    original = answer_picture._picture(answer, 0)
    half = [slice(0, len(original) // 2), slice(len(original) // 2, None)]
    wide = [slice(0, original.shape[1] // 2), slice(original.shape[1] // 2, None)]
    same = [
        np.array_equal(image[rows, columns], original[rows, columns]) for rows in half for columns in wide
    ]
    assert same == answer.keep[0].tolist()


def test_of_many_frames_some_are_shown_and_it_says_how_many() -> None:
    svg = picture_of(make_answer(40))
    assert "Frames (14 of 40)" in texts(svg)
    assert svg.count(b"<image") == 14


def test_questions_about_the_same_frames_share_them() -> None:
    first = make_answer(2)
    svg = picture_of(first, replace(first, question="And where?"))
    assert (svg.count(b"<image"), texts(svg).count("Layers")) == (2, 2)


def test_foreign_text_stays_text() -> None:
    odd = r"$x^2$ <b>&amp; \frac{1}{2} _a_ " + "\u202e\x1b[2J"
    answer = make_answer(1, question=odd, text="円 " + "x" * 10_000)
    svg = picture_of(replace(answer, video=replace(answer.video, path="$\\bad{$.mp4")))
    shown = texts(svg)
    assert r"$x^2$ <b>&amp; \frac{1}{2} _a_ \u202e\x1b[2J" in shown
    assert "$\\bad{$.mp4" in shown
    assert max(map(len, shown)) < 120
    with Image.open(io.BytesIO(picture_of(answer, kind="png"))) as png:
        assert png.width == 1600


def test_a_profile_pairs_dense_with_pruned_and_shows_ranges() -> None:
    profile = make_profile(4)
    figure = drawn(profile_picture._parts(profile))
    ttft = figure.axes[0]
    runs = [[run.ttft_sec for run in method.runs] for method in profile.methods]
    assert [bar.get_width() for bar in ttft.patches] == pytest.approx([float(np.median(one)) for one in runs])
    assert [tuple(line.get_xdata()) for line in ttft.lines] == [(min(one), max(one)) for one in runs]
    assert [label.get_text() for label in ttft.get_yticklabels()] == ["dense", "visual", "memory", "sharpv"]
    first, *others = (bar.get_facecolor() for bar in ttft.patches)
    assert first not in others


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": (), "runs": (), "rates": None, "interrupted": True},
        {"methods": ("dense",)},
        {"runs": 0},
        {"sweep": (("frames", 8.0), ("w", 0.5)), "engines": ("stock", "fast")},
        {"frames": 600},
    ],
)
def test_a_profile_of_whatever_is_there(changes: dict) -> None:
    profile = make_profile(**{"frames": 4, **changes})
    svg = profile_picture.profile_picture(profile, {}, kind="svg", theme="dark")
    assert "Describe the video." in texts(svg)


def test_an_evaluation_has_intervals_both_budgets_and_lines() -> None:
    figure = drawn(eval_picture._parts(EVALUATION))
    methods, visual, kv, _ = figure.axes
    assert [label.get_text() for label in methods.get_yticklabels()] == [
        one.method for one in EVALUATION.scores
    ]
    for axes, budget in ((visual, "visual_retention"), (kv, "kv_retention")):
        sharpv, dense, _ = axes.containers
        assert list(sharpv.lines[0].get_xdata()) == pytest.approx(
            [100 * getattr(EVALUATION.scores[place], budget) for place in (1, 0)]
        )
        (segments,) = sharpv.lines[2]
        assert [segment[:, 1].tolist() for segment in segments.get_segments()] == [
            pytest.approx([85.0, 92.0]), pytest.approx([95.0, 100.0]),
        ]  # fmt: skip
        assert list(dense.lines[0].get_ydata()) == [99.0]
    svg = eval_picture.eval_picture(EVALUATION, {}, kind="svg", theme="light")
    assert {"visual retention, %", "KV retention, %", "right, %", "evs$x$<b>"} <= set(texts(svg))


def test_an_evaluation_without_answers_or_with_nothing_stored() -> None:
    none = eval_picture.eval_picture(replace(EVALUATION, scores=()), {}, kind="svg", theme="light")
    assert "no question was answered by every method" in texts(none)
    empty = replace(EVALUATION, scores=(score("sharpv", 0.5, 0.1, 0.0),))
    assert b"<svg" in eval_picture.eval_picture(empty, {}, kind="svg", theme="light")
