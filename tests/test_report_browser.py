"""The report page in a real browser: what it shows is what the document says, whoever looks and however they do."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from make_answer import make_answer, make_profile, with_scores
from waiting import LONG

from sharpv_cli.pruning.visual import keep_counts
from sharpv_cli.report.document import Asked
from sharpv_cli.report.page import report_page
from sharpv_cli.report.profile_export import profile_exports
from sharpv_cli.types import Answer

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="chromium or chromedriver is not installed"
    ),
]
HOSTILE = "<img src=x onerror=document.title='run'><script>document.title='run'</script> \u202etxt.4pm\u2066 "
SCALE = 1.3


class Browser:
    """One headless browser for all tests of this file."""

    def __init__(self, folder: Path) -> None:
        webdriver = pytest.importorskip("selenium.webdriver")
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        exceptions = pytest.importorskip("selenium.common.exceptions")
        try:
            self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        except exceptions.WebDriverException as error:
            pytest.skip(f"chromium does not start here: {error.msg}")
        self.driver.set_script_timeout(LONG)
        self._folder = folder

    def show(self, *answers: Answer) -> None:
        path = self._folder / "report <b>\u202e.html"
        path.write_bytes(report_page([Asked(answer, {"name": "tiny"}) for answer in answers]))
        self.requests(), self.console()
        self.driver.get(path.as_uri())

    def run(self, script: str, *arguments: object) -> object:
        return self.driver.execute_script(script, *arguments)

    def texts(self, selector: str) -> list[str]:
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector
        )

    def console(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> set[str]:
        messages = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        sent = (message["params"] for message in messages if message["method"] == "Network.requestWillBeSent")
        return {params["request"]["url"].partition(":")[0] for params in sent}

    def media(self, **features: str) -> None:
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": listed})

    def width(self, pixels: int) -> None:
        size = {"width": pixels, "height": 800, "deviceScaleFactor": 1, "mobile": pixels < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("pages"))
    try:
        yield browser
    finally:
        with suppress(OSError):
            browser.driver.quit()


@pytest.fixture(scope="module")
def answer() -> Answer:
    return with_scores(make_answer(6, tokens=64), scale=SCALE)


def shown_counts(browser: Browser) -> list[int]:
    return [int(text.partition("/")[0]) for text in browser.texts(".frame .caption :last-child")]


def slide_to(browser: Browser, scale: float) -> None:
    browser.run(
        "const range = document.querySelector('input[type=range]');"
        "range.value = data.clips[0].scores.scales.indexOf(arguments[0]);"
        "range.dispatchEvent(new Event('input'))",
        scale,
    )


def key(browser: Browser, name: str) -> str:
    """What the page says once this key was pressed."""
    keys = pytest.importorskip("selenium.webdriver").Keys
    browser.driver.switch_to.active_element.send_keys(getattr(keys, name))
    return browser.texts("#tip")[0]


def test_it_draws_without_an_error_and_asks_nobody_for_anything(browser: Browser, answer: Answer) -> None:
    browser.show(answer)
    pixel = "getContext('2d').getImageData(9, 9, 1, 1).data[3]"
    assert browser.run(f"return [...document.querySelectorAll('canvas')].map((c) => c.{pixel})") == [255] * 6
    assert browser.console() == []
    assert browser.requests() <= {"file", "data"}
    document = Asked(answer, {}).document()
    tokens, memory = document["tokens"], document["memory"]
    kept, total = tokens["visual_kept"], tokens["visual_total"]
    assert browser.texts("h1")[0].startswith(
        f"red: answered from {kept} of {total} picture tokens ({kept / total:.1%});"
    )
    assert browser.texts(".share b") == [f"{kept / total:.1%}", f"{memory['kv_retention']:.1%}"]
    assert shown_counts(browser) == [frame["kept"] for frame in document["retention"]]
    assert len(browser.texts("tbody tr")) == len(document["layers"])


def test_the_policy_lets_nothing_else_run_or_load(browser: Browser, answer: Answer) -> None:
    browser.show(answer)
    browser.run(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = true'}),"
        "Object.assign(new Image(), {src: 'file:///etc/hostname'}))"
    )
    assert browser.run("return window.ran === undefined")
    assert all("Content Security Policy" in message for message in browser.console())


@pytest.mark.parametrize("place", [1, 7, -1])
def test_the_slider_keeps_what_sharpv_would_keep(browser: Browser, answer: Answer, place: int) -> None:
    browser.show(answer)
    scale = browser.run("return data.clips[0].scores.scales.at(arguments[0])", place)
    slide_to(browser, scale)
    ratio = torch.from_numpy(answer.scores.ratio)
    wanted = keep_counts(ratio, 64, scale=scale).tolist()
    assert shown_counts(browser) == wanted
    assert f"would keep {sum(wanted)} of {6 * 64} tokens" in browser.texts("output")[0]
    kept = browser.run(
        "const s = strips[0].selection; return s.clip.shown.map((_, place) => "
        "[...Array(s.tokens).keys()].filter((index) => s.keeps(place, index)))"
    )
    order = np.argsort(-answer.scores.importance, axis=1, kind="stable")
    assert kept == [sorted(row[:count].tolist()) for row, count in zip(order, wanted, strict=True)]


def test_back_at_the_scale_that_was_used_it_is_the_answer(browser: Browser, answer: Answer) -> None:
    browser.show(answer)
    slide_to(browser, browser.run("return data.clips[0].scores.scales.at(-1)"))
    assert shown_counts(browser) != [frame.kept for frame in answer.retention]
    browser.run("document.querySelector('.budget button').click()")
    assert shown_counts(browser) == [frame.kept for frame in answer.retention]
    assert browser.texts("output")[0].startswith(f"scale {SCALE:.2f}, as it was: {answer.visual_kept} of ")


def test_a_patch_says_why_by_mouse_and_by_keyboard(browser: Browser, answer: Answer) -> None:
    browser.show(answer)
    webdriver = pytest.importorskip("selenium.webdriver")
    frame, row, column = 2, 3, 5
    index = row * 8 + column
    picture = browser.driver.find_elements("css selector", ".picture")[frame]
    browser.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", picture)
    width, height = picture.size["width"], picture.size["height"]
    across, down = ((column + 0.5) / 8 - 0.5) * width, ((row + 0.5) / 8 - 0.5) * height
    webdriver.ActionChains(browser.driver).move_to_element_with_offset(
        picture, int(across), int(down)
    ).perform()
    scores = answer.scores
    rank = 1 + int(np.argsort(np.argsort(-scores.importance[frame], kind="stable"))[index])
    s, t = scores.spatial[frame, index], scores.temporal[frame, index]
    wanted = (
        f"{'kept' if answer.keep[frame, index] else 'pruned'}: rank {rank} of 64 (row 4, column 6)\n"
        f"importance {s + t:.3f}; S {s:.3f}, T {t:.3f}"
    )
    assert browser.texts("#tip")[0] == wanted
    browser.run("arguments[0].focus({preventScroll: true})", picture)
    key(browser, "HOME")
    told = [key(browser, name) for name in ["ARROW_DOWN"] * row + ["ARROW_RIGHT"] * column]
    assert told[-1] == wanted
    key(browser, "ESCAPE")
    assert browser.run("return document.getElementById('tip').hidden")


def test_hostile_names_questions_and_answers_stay_text(browser: Browser, answer: Answer) -> None:
    long = HOSTILE * (10_000 // len(HOSTILE))
    hostile = replace(answer, question=long, text=long, warnings=(HOSTILE,))
    hostile = replace(
        hostile,
        video=replace(hostile.video, path=f"/tmp/{HOSTILE}.mp4"),
        model=replace(hostile.model, id=HOSTILE),
    )
    browser.show(hostile, replace(hostile, question="</script>"))
    assert browser.console() == []
    assert browser.driver.title == "sharpv: what was kept of the video"
    assert browser.run("return document.querySelectorAll('main img, main script').length") == 0
    spelt = HOSTILE.replace("\u202e", "\\u202e").replace("\u2066", "\\u2066")
    for label, text in (("question", long), ("video", f"/tmp/{HOSTILE}.mp4"), ("model", HOSTILE)):
        found = browser.run(
            "return [...document.querySelectorAll('dt')].find((e) => e.textContent === arguments[0])"
            ".nextSibling.textContent",
            label,
        )
        assert found == text.replace(HOSTILE, spelt)
    browser.width(360)
    assert browser.run("return document.documentElement.scrollWidth") == 360
    browser.width(1280)


def test_long_clips_are_grouped_and_decoded_when_opened(browser: Browser) -> None:
    browser.show(with_scores(make_answer(200, tokens=16, kept=[1] * 200)))
    assert len(browser.texts(".group")) == 7
    assert len(browser.texts(".frame")) == 32
    browser.run(
        "const last = document.querySelectorAll('.group')[6]; return new Promise((done) => {"
        "last.addEventListener('toggle', done, {once: true}); last.open = true})"
    )
    assert len(browser.texts(".frame")) == 32 + 8
    assert browser.texts(".group > summary > :last-child")[0] == (
        f"{sum(shown_counts(browser)[:32])}/{32 * 16}"
    )
    assert browser.console() == []


def test_manual_mode_says_that_it_has_no_scale(browser: Browser) -> None:
    manual = with_scores(make_answer(2, tokens=64), mode="manual", k=1.1)
    browser.show(manual)
    assert "a token is kept where its importance is above K = 1.1" in browser.texts(".budget")[0]
    assert browser.run("return document.querySelector('input[type=range]') === null")
    assert shown_counts(browser) == [frame.kept for frame in manual.retention]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, answer: Answer, theme: str) -> None:
    package = pytest.importorskip("axe_core_python")
    axe = (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    browser.media(prefers_color_scheme=theme)
    browser.show(answer, replace(answer, question="And?", warnings=("one",)))
    browser.run("for (const details of document.querySelectorAll('details')) details.open = true")
    browser.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})  # no policy holds a debugger
    found = browser.driver.execute_async_script(
        "axe.run(document, {resultTypes: ['violations']}).then(arguments[arguments.length - 1])"
    )
    browser.media()
    assert [
        (violation["id"], node["html"])
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ] == []


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(browser: Browser, answer: Answer, width: int) -> None:
    browser.width(width)
    browser.show(answer)
    browser.run("for (const details of document.querySelectorAll('details')) details.open = true")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    browser.width(1280)


def test_printed_it_has_all_its_pictures_and_no_slider(browser: Browser, answer: Answer) -> None:
    browser.show(answer)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert (
        browser.run("return getComputedStyle(document.querySelector('input[type=range]')).display") == "none"
    )
    assert browser.run("return document.querySelector('.machine').open")
    browser.media()
    printed = base64.b64decode(browser.driver.print_page())
    assert printed.count(b"/Subtype /Image") >= 6


def test_a_page_of_a_profile_is_still_and_shows_all_figures(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "profile.html"
    profile_exports(charts=[str(path)], about={}).write(make_profile(4, question="<script>1</script>"))
    browser.requests(), browser.console()
    browser.driver.get(path.as_uri())
    assert browser.run("return document.querySelector('img').naturalWidth > 0")
    assert "<script>1</script>" in browser.texts("pre")[0]
    assert (browser.console(), browser.run("return document.scripts.length")) == ([], 0)
    assert browser.requests() <= {"file", "data"}
