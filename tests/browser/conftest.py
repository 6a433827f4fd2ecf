"""A headless Chromium: Debian's `chromium` and `chromium-driver`. Without them these tests skip, in CI they fail."""

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from browser_page import resize
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",  # WebGL computed by the CPU
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
)


@pytest.fixture
def browser() -> Iterator[Chrome]:
    """A fresh Chromium, 1440 × 900 pixels, that keeps its console and its network traffic (see below)."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        missing = "no headless browser: apt-get install chromium chromium-driver"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    options = ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        chrome = Chrome(options=options, service=ChromeService(driver))
        try:
            chrome.get("about:blank")
            chrome.get_log("performance")  # forget the new-tab page
            resize(chrome, 1440, 900)
            yield chrome
        finally:
            chrome.quit()
