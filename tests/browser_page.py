"""A page in the tests' browser: its size, the errors in its console, the addresses it requested."""

import json

from selenium.webdriver import Chrome


def resize(browser: Chrome, width: int, height: int) -> None:
    """Give the page (not the window around it) a size in CSS pixels, phone widths too."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def console_errors(browser: Chrome) -> list[str]:
    """What the console has said of level SEVERE since the last call."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def requested(browser: Chrome) -> list[str]:
    """The addresses that pages have requested since the last call, in order; not `data:`, which hold their content."""
    events = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [address for address in sent if not address.startswith("data:")]
