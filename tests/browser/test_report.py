"""The report as a person opens it: from a file, in a browser."""

import pytest
from browser_page import console_errors, requested, resize
from finished_scene import finish_aligned_scene, finish_scene
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from nrw.report.page import write_report
from nrw.scene.files import SceneFiles

SECTIONS = ["videos", "verdict", "photos", "cloud", "coverage", "labels", "training", "scores", "time", "setup"]
DRAWN = "return arguments[0].querySelector('.main-svg, canvas') !== null"
CENTRES = """return [...document.querySelectorAll('#plot-scene')].map(
    plot => plot._fullData.filter(trace => trace.mode === "markers").map(trace => trace.x.length))[0]"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of a scene from photos and of one that came aligned."""
    root = tmp_path_factory.mktemp("report")
    scene, config = finish_scene(root)
    old, old_config = finish_aligned_scene(root, scene)
    for folder, settings in ((scene, config), (old, old_config)):
        write_report(SceneFiles(folder), settings, folder / "report.html")
    return {"photos": scene / "report.html", "aligned": old / "report.html"}


def opened(browser, page):
    browser.get(page.as_uri())
    return browser


def drawn(browser, selector=".plot"):
    """The figures, each shown until it is drawn."""
    plots = browser.find_elements(By.CSS_SELECTOR, selector)
    for plot in plots:
        browser.execute_script("arguments[0].scrollIntoView({behavior: 'instant'})", plot)
        WebDriverWait(browser, 100).until(lambda browser, plot=plot: browser.execute_script(DRAWN, plot))
    return plots


@pytest.mark.parametrize("kind", ["photos", "aligned"])
def test_it_opens_without_an_error_and_asks_for_nothing_but_its_videos(browser, pages, kind):
    page = pages[kind]
    opened(browser, page)
    assert len(drawn(browser)) == {"photos": 6, "aligned": 4}[kind]
    assert console_errors(browser) == []
    videos = {(page.parent / "videos" / f"{name}.mp4").as_uri() for name in ("flythrough", "appearance", "joint")}
    asked = set(requested(browser))
    assert page.as_uri() in asked and asked - {page.as_uri()} <= videos


@pytest.mark.parametrize("kind", ["photos", "aligned"])
def test_every_section_has_content(browser, pages, kind):
    opened(browser, pages[kind])
    for name in SECTIONS:
        section = browser.find_element(By.ID, name)
        assert section.size["height"] > 60 and len(section.text) > 40, name
    assert [link.get_attribute("hash") for link in browser.find_elements(By.CSS_SELECTOR, "nav a")] == [
        f"#{name}" for name in SECTIONS
    ]
    broken = "return [...document.images].filter(i => !(i.complete && i.naturalWidth)).map(i => i.alt)"
    assert browser.execute_script(broken) == []
    nameless = "return [...document.images].filter(image => !image.alt).length"
    assert browser.execute_script(nameless) == 0


def test_the_cloud_and_every_camera_are_drawn(browser, pages):
    opened(browser, pages["photos"])
    drawn(browser, "#plot-scene")
    cloud, train, val = browser.execute_script(CENTRES)
    assert cloud > 20_000 and (train, val) == (6, 2)


def test_the_videos_play(browser, pages):
    opened(browser, pages["photos"])
    for video in browser.find_elements(By.TAG_NAME, "video"):
        browser.execute_script("arguments[0].play()", video)
        WebDriverWait(browser, 60).until(lambda _, video=video: video.get_property("currentTime") > 0.3)
        assert video.get_property("duration") == pytest.approx(4, abs=0.1) and video.get_property("videoWidth") == 160


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_nothing_is_wider_than_the_page(browser, pages, width, height):
    resize(browser, width, height)
    opened(browser, pages["photos"])
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    sizes = "[...document.querySelectorAll('p, li, td, dd, h2, h3')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    assert min(browser.execute_script(f"return {sizes}")) >= 11


def test_the_verdict_is_on_the_first_screen(browser, pages):
    opened(browser, pages["photos"])
    bottom = browser.execute_script("return document.querySelector('.findings').getBoundingClientRect().top")
    assert bottom < 900


def test_in_the_dark_the_figures_follow(browser, pages):
    opened(browser, pages["photos"])
    drawn(browser, "#plot-density")
    ink = "return document.querySelector('#plot-density').layout.font.color"
    light = browser.execute_script(ink)
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    WebDriverWait(browser, 30).until(lambda browser: browser.execute_script(ink) != light)
