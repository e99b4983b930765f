"""The page in a real browser: offline, by file:, with video, scene and controls in step, and accessible.

Needs Chromium (Debian: `apt install chromium`) and the packages playwright and axe-playwright-python.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from closemesh.report.write import write_folder_report

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

ARGUMENTS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
BRIGHTNESS_STEP = 10  # Gray levels between two frames of the test clip.

SHOWN_BRIGHTNESS = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
  const context = canvas.getContext("2d");
  context.drawImage(document.querySelector("#video"), 0, 0, 8, 8);
  return context.getImageData(4, 4, 1, 1).data[0];
}"""
SCENE_PIXELS = """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => {
  const drawing = document.querySelector("#scene canvas");
  resolve([drawing.width, drawing.height]);
})))"""
# Frame of the scene and time of the video frame on the screen, whenever the browser presents one.
RECORD = """() => {
  window.presented = [];
  const video = document.querySelector("#video");
  const record = (_, { mediaTime }) => {
    requestAnimationFrame(() => window.presented.push([mediaTime, Number(document.querySelector("#time").value)]));
    video.requestVideoFrameCallback(record);
  };
  video.requestVideoFrameCallback(record);
}"""

WITHOUT_WEBGL_AND_VIDEO = """
  const getContext = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind) {
    return kind === "2d" ? getContext.call(this, kind) : null;
  };
  URL.createObjectURL = () => "data:video/mp4;base64,AAAA";
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def report(result: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("browser") / "out"
    shutil.copytree(result, out)
    return write_folder_report(out, clip=result.parent / "clip.mp4")


@pytest.fixture
def page(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The loaded page; fails the test when the page logs an error or asks for anything outside itself."""
    context = browser.new_context(offline=True, **getattr(request, "param", {}))
    opened, faults = context.new_page(), []
    inside = ("data:", "blob:", report.as_uri())
    opened.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("request", lambda asked: faults.append(asked.url) if not asked.url.startswith(inside) else None)
    opened.goto(report.as_uri())
    opened.wait_for_selector("html[data-ready]")
    wait_until(opened, "document.querySelector('#video').readyState >= 2")
    yield opened
    context.close()
    assert not faults


def wait_until(page: Any, condition: str) -> None:
    """Not `wait_for_function`, which the content security policy of the page forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise TimeoutError(condition)


def shown_frame(page: Any) -> int:
    return int(page.input_value("#time"))


def wait_for_video(page: Any, frame: int) -> None:
    wait_until(page, "!document.querySelector('#video').seeking")
    assert abs(page.evaluate(SHOWN_BRIGHTNESS) / BRIGHTNESS_STEP - frame) < 1


def test_the_scene_is_drawn(page: Any) -> None:
    assert page.is_hidden("#no-scene")
    width, height = page.evaluate(SCENE_PIXELS)
    assert width > 300 and height > 300
    page.click("[data-view=camera]")
    assert page.get_attribute("[data-view=camera]", "aria-pressed") == "true"
    assert page.get_attribute("[data-view=overview]", "aria-pressed") == "false"


def test_scrubbing_shows_the_same_frame_in_video_and_scene(page: Any) -> None:
    for frame in (20, 3, 23, 0, 11):
        page.fill("#time", str(frame))
        assert page.inner_text("#clock") == f"Frame {frame}, {frame / 30:.2f} s"
        wait_for_video(page, frame)


def test_playing_keeps_video_and_scene_within_one_frame(page: Any) -> None:
    page.evaluate(RECORD)
    page.select_option("#speed", "0.5")
    page.click("#play")
    assert page.inner_text("#play") == "Pause"
    wait_until(page, "document.querySelector('#play').textContent === 'Play'")
    assert shown_frame(page) == 23
    presented = page.evaluate("window.presented")
    assert len(presented) > 3
    assert max(abs(time * 30 - frame) for time, frame in presented) <= 1.01


def test_a_click_on_a_contact_goes_there(page: Any) -> None:
    bar = page.locator(".bar").first
    bar.click()
    start = int(bar.get_attribute("data-frame"))
    assert shown_frame(page) == start
    assert "active" in bar.get_attribute("class")
    assert page.locator("#now li").count() >= 1
    wait_for_video(page, start)


def test_the_keyboard_alone_is_enough(page: Any) -> None:
    page.focus("#time")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert shown_frame(page) == 2
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "Pause"
    page.keyboard.press("Space")
    page.focus("#scene")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("+")


def test_without_webgl_and_video_the_rest_works(browser: Any, report: Path) -> None:
    page = browser.new_page()
    page.add_init_script(WITHOUT_WEBGL_AND_VIDEO)
    page.goto(report.as_uri())
    page.wait_for_selector("#no-scene:visible")
    page.wait_for_selector("#no-video:visible")
    page.click("#play")
    wait_until(page, "Number(document.querySelector('#time').value) >= 10")
    page.close()


def test_the_wheel_scrolls_the_page_until_the_scene_is_clicked(page: Any) -> None:
    page.hover("#scene")
    page.mouse.wheel(0, 120)
    wait_until(page, "scrollY > 50")
    page.mouse.wheel(0, -500)
    wait_until(page, "scrollY === 0")
    page.click("#scene")
    page.mouse.wheel(0, 120)
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") == 0


@pytest.mark.parametrize("page", [{"viewport": {"width": 360, "height": 740}}], indirect=True)
def test_it_fits_a_phone(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("#play").bounding_box()["y"] < 740, "the controls stay in view"


@pytest.mark.parametrize("page", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_axe_finds_nothing_serious(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for summary in page.locator("summary").all():
        summary.click()
    found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not [(one["id"], [node["html"] for node in one["nodes"]]) for one in serious]
