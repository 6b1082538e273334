"""The contact sheet in a real browser: Chromium as Debian has it, headless, driven over its debugging pipe."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageStat
from support_browser import Browser
from support_sheet import full, hostile, line, report

from wan_cli.ui.report import Report, Shot
from wan_cli.ui.report.contact import contact_sheet

pytestmark = pytest.mark.peers

WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return one browser for all claims."""
    with Browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


def opened(browser: Browser, folder: Path, made: Report, extra: str = "") -> Path:
    """Write a sheet, with something smuggled in at its end, and open it."""
    path = folder / "sheet.html"
    path.write_text("".join(contact_sheet(made)).replace("</body>", extra + "</body>"), encoding="utf-8")
    browser.open(path)
    return path


def test_the_sheet_loads_without_network_or_complaint(browser: Browser, tmp_path: Path) -> None:
    """The page asks for itself alone, every picture in it is decoded, and the console stays empty."""
    path = opened(browser, tmp_path, full())
    browser.look(1280, "light")
    assert browser.requests == [path.as_uri()]
    assert browser.complaints == []
    decode = "Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))"
    assert browser.value(decode) == [64] * 7
    assert browser.value("document.title").startswith("assets.toml: 2 failed")


def test_no_text_comes_alive(browser: Browser, tmp_path: Path) -> None:
    """With an attack in every text nothing runs, nothing is fetched, and the page looks as it should."""
    path = opened(browser, tmp_path, hostile())
    assert browser.requests == [path.as_uri()]
    assert browser.complaints == []
    assert browser.value("document.scripts.length + document.querySelectorAll('iframe,object,form,a').length") == 0
    assert browser.value("getComputedStyle(document.querySelector('article')).display") == "flex"
    assert "<script>alert(1)</script>" in browser.value("document.querySelector('h1').textContent")


ATTACKS = {
    "script": "<script>document.title = 'taken'</script>",
    "handler": "<img src='data:image/png;base64,AAAA' onerror=\"document.title = 'taken'\">",
    "style": "<style>article { display: none !important }</style>",
    "picture": "<img src='https://evil.example/x.png'>",
    "frame": "<iframe src='https://evil.example/'></iframe>",
    "import": "<link rel=stylesheet href='https://evil.example/x.css'>",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_the_policy_stops_what_is_smuggled_in(browser: Browser, tmp_path: Path, name: str) -> None:
    """Should a text ever become markup, the page's own policy forbids scripts, styles, frames and fetches."""
    path = opened(browser, tmp_path, full(), ATTACKS[name])
    assert browser.value("document.title").startswith("assets.toml")
    assert browser.value("getComputedStyle(document.querySelector('article')).display") == "flex"
    refused = [event for event in browser.told if event["method"] == "Network.loadingFailed"]
    assert all("csp" in json.dumps(event["params"]).lower() for event in refused), refused
    outside = [url for url in browser.requests if url != path.as_uri()]
    assert len(outside) <= len(refused), "whatever was tried to be fetched was refused"
    assert any("Content Security Policy" in told for told in browser.complaints)


@pytest.mark.parametrize("width", WIDTHS)
def test_light_and_dark_at_every_width(browser: Browser, tmp_path: Path, width: int) -> None:
    """The page follows the system's colours, fills the width without a scroll bar, and its text can be read."""
    opened(browser, tmp_path, full())
    grounds = {}
    for scheme in ("light", "dark"):
        shown = Image.open(io.BytesIO(browser.look(width, scheme))).convert("L")
        assert shown.width == width
        grounds[scheme] = shown.getpixel((2, 2))
        spread = ImageStat.Stat(shown.crop((0, 0, width, 160))).extrema[0]
        assert spread[1] - spread[0] > 150, "the headline stands out"
        assert browser.value("document.documentElement.scrollWidth") == width
        assert browser.value(CONTRAST) >= 4.5, "WCAG 2.2, 1.4.3"
    assert grounds["light"] > 200
    assert grounds["dark"] < 50


CONTRAST = """(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const found = parse(getComputedStyle(node).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const names = 'h1,h2,h3,h3 span,p,dt,dd,del,ins,code,figcaption,figcaption span,li,th,td';
  const texts = [...document.querySelectorAll(names)]
    .filter(node => node.textContent.trim());
  return Math.min(...texts.map(node => {
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  }));
})()"""


def test_before_and_now_are_beside_each_other(browser: Browser, tmp_path: Path) -> None:
    """Both pictures have one height and one top, also on a phone."""
    opened(browser, tmp_path, full())
    for width in WIDTHS:
        browser.look(width, "light")
        boxes = browser.value(
            "[...document.querySelectorAll('.pair img')].map(i => i.getBoundingClientRect().toJSON())"
        )
        before, now = boxes
        assert (before["top"], before["height"]) == (now["top"], now["height"])
        assert before["right"] <= now["left"]


def test_ten_thousand_assets_open_quickly(browser: Browser, tmp_path: Path) -> None:
    """A sheet of ten thousand assets is there within seconds, and its end can be gone to."""
    lines = [line(f"a{n}", "made" if n % 20 == 0 else "current", shots=[Shot(path=f"a{n}.png")]) for n in range(10_000)]
    started = time.monotonic()
    opened(browser, tmp_path, report(lines))
    browser.call("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    browser.value("document.querySelector('tr:last-child').scrollIntoView()")
    assert time.monotonic() - started < 20
    assert browser.value("document.querySelectorAll('tr').length") == 9_501
    assert browser.complaints == []
