"""`nrw view` as a person uses it: the server in a process of its own, the page in a browser."""

import io
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from browser_page import console_errors, requested, resize
from PIL import Image
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from tiny_scene import frames_of, make_scene

from nrw.core.io import read_image, read_json

NRW = Path(sys.executable).parent / "nrw"
PATIENCE = 60.0  # seconds; the pictures take a tenth of one


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "tower"
    make_scene(folder)
    return folder


@pytest.fixture(scope="module")
def server(scene):
    """The process and its address."""
    process = subprocess.Popen(
        [NRW, "view", scene, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # whoever started us may ignore it
    )
    line = process.stdout.readline()
    assert " is at http://127.0.0.1:" in line
    yield process, line.split(" is at ")[1].split()[0]
    process.kill()


@pytest.fixture
def page(browser, server):
    browser.get(server[1])
    settled(browser)
    return browser


def picture(browser):
    """The scene left of the controls, without viser's notices, (H, W, 3) int."""
    shot = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    return np.asarray(shot)[:, 320:1080].astype(int)


def settled(browser):
    """The picture, once it is fine and stays as it is."""
    deadline, before = time.monotonic() + PATIENCE, None
    while time.monotonic() < deadline:
        now = picture(browser)
        fine = "pixels in" in browser.find_element(By.TAG_NAME, "body").text
        if fine and before is not None and np.array_equal(now, before):
            return now
        before = now
        time.sleep(1)
    raise AssertionError("the picture does not settle")


def at_button(browser, name, ask):
    """What `ask` gives of the button, asked again where the page has drawn it anew meanwhile."""

    def asked(browser):
        buttons = browser.find_elements(By.TAG_NAME, "button")
        return [ask(found) for found in buttons if found.text.strip() == name][:1]

    return WebDriverWait(browser, PATIENCE, ignored_exceptions=[StaleElementReferenceException]).until(asked)[0]


def click(browser, name):
    at_button(browser, name, lambda button: button.click())


def drag(browser, x, y):
    canvas = browser.find_element(By.TAG_NAME, "canvas")
    ActionChains(browser).move_to_element(canvas).click_and_hold().move_by_offset(x, y).release().perform()


def notice(browser, text):
    deadline = time.monotonic() + PATIENCE
    while text not in browser.find_element(By.TAG_NAME, "body").text:
        assert time.monotonic() < deadline, f"{text!r} is not told"
        time.sleep(0.2)


def test_the_page_shows_the_scene_and_asks_nobody_else(page, server):
    assert np.ptp(picture(page)) > 50
    assert console_errors(page) == []
    elsewhere = [url for url in requested(page) if not url.startswith((server[1], "data:", "blob:"))]
    assert elsewhere == []


def test_it_listens_on_loopback_alone(server):
    port = int(server[1].rsplit(":", 1)[1])
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_a_moved_camera_and_another_photo_change_the_picture(page):
    start = settled(page)
    drag(page, 120, 30)
    moved = settled(page)
    assert np.abs(moved - start).mean() > 3
    thumbnails = page.find_elements(By.CSS_SELECTOR, "label[data-photo]")
    assert [found.get_attribute("data-photo") for found in thumbnails] == [f"{i:04d}" for i in range(6)]
    before = page.find_element(By.TAG_NAME, "body").text
    chosen = next(found for found in thumbnails if f"{found.get_attribute('data-photo')} 100 %" not in before)
    chosen.click()
    notice(page, f"in the light of {chosen.get_attribute('data-photo')} 100 %")
    assert np.abs(settled(page) - moved).mean() > 0.3


def test_depth_and_labels_and_points_are_shown(page):
    shown = {}
    for mode in ("depth", "labels", "colour", "picture"):
        click(page, mode)
        notice(page, mode + (" in the light" if mode == "picture" else "\n"))
        shown[mode] = settled(page)
    click(page, "points")
    notice(page, "6000 of 6000 points")
    time.sleep(2)
    shown["points"] = picture(page)
    click(page, "picture")
    different = [np.abs(a - b).mean() > 1 for a in shown.values() for b in shown.values() if a is not b]
    assert all(different)
    gray = shown["depth"]
    assert np.abs(gray[..., 0] - gray[..., 1]).max() < 10


def test_key_frames_are_recorded_and_filmed_and_a_snapshot_is_kept(page, scene, tmp_path):
    click(page, "Save path")
    notice(page, "at least 2 key frames")
    seconds = page.find_element(By.XPATH, "//label[.='Seconds']/following::input[1]")
    seconds.send_keys(Keys.CONTROL, "a")
    seconds.send_keys("0.5")
    click(page, "Add key frame")
    notice(page, "Key frames: 1")
    drag(page, 100, 0)
    settled(page)
    click(page, "Add key frame")
    notice(page, "Key frames: 2")
    click(page, "Save path")
    notice(page, "nrw video")
    path = scene / "paths" / "path.json"
    assert [entry["time"] for entry in read_json(path)["keyframes"]] == [0, 0.5]
    first, second = (np.array(entry["cam_from_world"]) for entry in read_json(path)["keyframes"])
    assert np.abs(first - second).max() > 0.05
    assert second[1, 2] < -0.8  # the camera's down is the world's
    subprocess.run([NRW, "video", scene, path, tmp_path / "walk.mp4"], check=True, capture_output=True)
    assert frames_of(tmp_path / "walk.mp4") == (13, (512, 288))
    click(page, "Snapshot")
    notice(page, "0001.png")
    assert max(read_image(scene / "snapshots" / "0001.png").shape) == 512


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_it_fits_a_desktop_and_a_phone(page, width, height):
    resize(page, width, height)
    time.sleep(2)
    assert page.execute_script("return document.documentElement.scrollWidth") == width
    canvas = page.find_element(By.TAG_NAME, "canvas").rect
    assert (round(canvas["width"]), round(canvas["height"])) == (width, height)
    for name in ("picture", "points", "Snapshot"):
        place = at_button(page, name, lambda button: button.rect)
        assert place["x"] >= 0 and place["x"] + place["width"] <= width


def test_ctrl_c_ends_it(server):
    process, _ = server
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    assert process.stdout.read() == ""
