"""Makes the README's picture of the viewer, with headless Chromium (Debian: chromium, chromium-driver).

python benchmarks/viewer_picture.py results/demo docs/viewer.jpg
"""

import io
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By

WIDTH, HEIGHT = 1280, 860
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader")
BLEND = "0.5"
PATIENCE = 60.0  # seconds
ADD_STYLE = "document.head.append(Object.assign(document.createElement('style'), {textContent: arguments[0]}))"


def photograph(url: str) -> Image.Image:
    """Take a screenshot of the page, half way between its two appearances."""
    options = ChromeOptions()
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium")
    browser = Chrome(options=options, service=ChromeService(shutil.which("chromedriver")))
    try:
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(url)
        wait(browser, "pixels in")
        browser.execute_script(ADD_STYLE, ".mantine-Notification-root {display: none}")
        blend = browser.find_elements(By.CSS_SELECTOR, "input[inputmode=decimal]")[1]  # the first is the size
        blend.clear()
        blend.send_keys(BLEND, "\n")
        wait(browser, "50 %")
        time.sleep(10)  # until the fine picture is there
        return Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    finally:
        browser.quit()


def wait(browser: Chrome, text: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while text not in browser.find_element(By.TAG_NAME, "body").text:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the page does not say {text!r}")
        time.sleep(0.2)


if __name__ == "__main__":
    scene, out = map(Path, sys.argv[1:])
    nrw = Path(sys.executable).parent / "nrw"
    with subprocess.Popen([nrw, "view", scene, "--port", "0"], stdout=subprocess.PIPE, text=True) as viewer:
        try:
            photograph(viewer.stdout.readline().split(" is at ")[1].split()[0]).save(out, quality=80, optimize=True)
        finally:
            viewer.send_signal(signal.SIGINT)
