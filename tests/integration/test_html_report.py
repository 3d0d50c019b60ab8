"""``report.html`` in a real browser: sorting, keyboard, phone, dark, accessibility, offline, foreign text."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.publish.html.page import html_from_report
from pipeline.publish.parts import merged, read_parts
from tests.support.browser import BrowserMissing, running_browser
from tests.support.hostile import HOSTILE_TEXTS
from tests.support.reports import hostile_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

SAMPLE = Path(__file__).parents[2] / "examples/report-sample"
AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
OPEN_ALL = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
CONTRASTS = """() => {
  const parsed = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parsed(getComputedStyle(each).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    if (["SCRIPT", "STYLE"].includes(element.tagName) || !element.getClientRects().length) continue;
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const style = getComputedStyle(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    const [one, other] = [luminance(parsed(colour)), luminance(ground(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    found.push([ratio, `${element.tagName}.${element.getAttribute("class")}: ${element.textContent.slice(0, 40)}`]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Where there is none, the tests are skipped, but not in CI, where they fail."""
    try:
        with running_browser() as running:
            yield running
    except BrowserMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no browser to test with: {missing}")
        pytest.skip(f"no browser to test with: {missing}")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = read_parts(SAMPLE)
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html_from_report(merged(parts.reports), parts.details, parts.layers), encoding="utf-8")
    return path


class Opened:
    """A page, with everything that it asked for and complained of."""

    def __init__(self, browser: Browser, path: Path, **options: Any) -> None:
        self.page: Page = browser.new_context(**options).new_page()
        self.page.set_default_timeout(60_000)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        self.page.goto(path.as_uri())

    def column(self, title: str) -> list[str]:
        """The texts of a column of the table of jobs, from top to bottom."""
        index = self.titles().index(title) + 1
        script = "(rows) => rows.map((row) => row.textContent.trim())"
        return list(self.page.eval_on_selector_all(f"#jobs tbody tr > :nth-child({index})", script))

    def titles(self) -> list[str]:
        return [text.strip() for text in self.page.locator("#jobs thead th").all_text_contents()]

    def sort_states(self) -> dict[str, str | None]:
        headers = self.page.locator("#jobs thead th").all()
        states = {
            title: header.get_attribute("aria-sort") for title, header in zip(self.titles(), headers, strict=True)
        }
        return {title: state for title, state in states.items() if state is not None}


@pytest.fixture
def opened(browser: Browser, sample: Path) -> Iterator[Opened]:
    opened = Opened(browser, sample)
    yield opened
    opened.page.context.close()


def milliseconds(texts: list[str]) -> list[float]:
    return [float(text.removesuffix(" ms")) for text in texts if text != "-"]


def test_a_click_on_a_column_sorts_by_it_and_a_second_one_turns_it_round(opened: Opened) -> None:
    button = opened.page.get_by_role("button", name="GPU time p50")
    button.click()
    up = opened.column("GPU time p50")
    assert milliseconds(up) == sorted(milliseconds(up))
    assert opened.sort_states() == {"GPU time p50": "ascending"}
    button.click()
    down = opened.column("GPU time p50")
    assert milliseconds(down) == sorted(milliseconds(up), reverse=True)
    assert opened.sort_states() == {"GPU time p50": "descending"}


def test_what_is_missing_comes_last_either_way(opened: Opened) -> None:
    for _ in range(2):
        opened.page.get_by_role("button", name="GPU time p50").click()
        missing = [text == "-" for text in opened.column("GPU time p50")]
        assert any(missing)
        assert missing == sorted(missing)


def test_names_are_sorted_as_people_do(opened: Opened) -> None:
    opened.page.get_by_role("button", name="Job", exact=True).click()
    names = [name for name in opened.column("Job") if not name.startswith("<")]
    assert names == sorted(names, key=lambda name: name.replace("sm_86", "sm_086"))


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_the_keyboard_reaches_and_sorts_every_column(opened: Opened, key: str) -> None:
    opened.page.locator("#filter").focus()
    opened.page.keyboard.press("Tab")  # The region of the table, which can be scrolled.
    for title in opened.titles():
        opened.page.keyboard.press("Tab")
        opened.page.keyboard.press(key)
        assert opened.sort_states() == {title: "ascending"}
    assert opened.page.locator("#said").text_content() == f"Sorted by {opened.titles()[-1]}, ascending."


def test_the_filter_shows_the_jobs_that_contain_a_text(opened: Opened) -> None:
    opened.page.locator("#filter").fill("RESNET50/h200")
    shown = opened.page.locator("#jobs tbody tr:visible th").all_text_contents()
    assert shown == [f"resnet50/h200/{precision}" for precision in ("fp32", "fp16", "bf16", "int8")]
    assert opened.page.locator("#said").text_content() == "4 of 96 jobs shown."


def test_a_jobs_name_leads_to_its_details(opened: Opened) -> None:
    opened.page.get_by_role("link", name="resnet50/h200/fp16").click()
    opened.page.locator("#job-2[open]").wait_for()
    summary = opened.page.locator("#job-2 summary").text_content()
    assert summary is not None
    assert summary.startswith("resnet50/h200/fp16: ")


def test_the_page_asks_for_nothing_and_complains_of_nothing(opened: Opened, sample: Path) -> None:
    opened.page.evaluate(OPEN_ALL)
    opened.page.get_by_role("button", name="Status").click()
    opened.page.locator("#filter").fill("x")
    opened.page.wait_for_load_state("networkidle")
    assert (opened.requests, opened.complaints) == ([sample.as_uri()], [])


@pytest.mark.parametrize("width", [320, 375, 768, 1440])
def test_nothing_sticks_out_at_any_width(browser: Browser, sample: Path, width: int) -> None:
    opened = Opened(browser, sample, viewport={"width": width, "height": 800})
    opened.page.evaluate(OPEN_ALL)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    opened.page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(browser: Browser, sample: Path, scheme: Any) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 to 1."""
    opened = Opened(browser, sample, color_scheme=scheme)
    opened.page.evaluate(OPEN_ALL)
    found = opened.page.evaluate(CONTRASTS)
    assert len(found) > 1000
    assert [entry for entry in found if entry[0] < 4.5] == []
    opened.page.context.close()


def test_dark_and_light_differ(browser: Browser, sample: Path) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        opened = Opened(browser, sample, color_scheme=scheme)
        grounds.append(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        opened.page.context.close()
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_axe_finds_no_violation(browser: Browser, sample: Path, scheme: Any, width: int) -> None:
    opened = Opened(browser, sample, color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True)
    opened.page.evaluate(OPEN_ALL)
    opened.page.evaluate(AXE)
    result = opened.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    told = [(each["id"], each["help"], [node["html"] for node in each["nodes"][:3]]) for each in result["violations"]]
    assert told == [], json.dumps(told, indent=1)
    assert len(result["passes"]) > 20
    opened.page.context.close()


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=lambda text: repr(text)[:40])
def test_no_text_of_others_becomes_markup_or_runs(browser: Browser, tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.html"
    path.write_text(html_from_report(hostile_report(text)), encoding="utf-8", errors="replace")
    opened = Opened(browser, path)
    opened.page.evaluate(OPEN_ALL)
    tags = opened.page.evaluate("[...new Set([...document.querySelectorAll('body *')].map((each) => each.tagName))]")
    assert not {"IMG", "IFRAME", "OBJECT", "EMBED", "FORM", "META", "BASE", "LINK", "B"} & set(tags)
    assert opened.page.evaluate("document.scripts.length") == 1
    links = opened.page.eval_on_selector_all("a", "(links) => links.map((link) => link.getAttribute('href'))")
    assert set(links) == {"#content", "#job-1"}
    assert (opened.requests, opened.complaints) == ([path.as_uri()], [])
    opened.page.context.close()


def test_the_policy_stops_a_script_that_was_put_in(browser: Browser, sample: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    injected = (
        "<h1><script>document.title = 'taken'</script><img src='http://127.0.0.1:9/x' onerror='document.title=1'>"
    )
    path.write_text(sample.read_text(encoding="utf-8").replace("<h1>", injected, 1), encoding="utf-8")
    opened = Opened(browser, path)
    assert opened.page.title() == "TensorRT engines: failed"
    assert any("Content Security Policy" in complaint for complaint in opened.complaints)
    opened.page.context.close()


def test_everything_is_there_without_scripts(browser: Browser, sample: Path) -> None:
    opened = Opened(browser, sample, java_script_enabled=False)
    assert opened.page.locator("#jobs tbody tr").count() == 96
    assert opened.page.get_by_text("the builder refused the model").is_visible()
    opened.page.context.close()
