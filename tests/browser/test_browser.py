"""The browser of the tests notices what they look for."""

from browser_page import console_errors, requested, resize


def show(browser, tmp_path, body):
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><html><head><link rel=icon href='data:,'></head><body>{body}</body></html>")
    browser.get(page.as_uri())
    return page.as_uri()


def test_console_errors_and_requests_are_seen(browser, tmp_path):
    address = show(browser, tmp_path, "<img src=absent.png><script>console.error('on purpose')</script>")
    assert any("on purpose" in error for error in console_errors(browser))
    assert requested(browser) == [address, (tmp_path / "absent.png").as_uri()]
    assert console_errors(browser) == [] and requested(browser) == []


def test_a_page_can_be_as_narrow_as_a_phone_and_has_webgl(browser, tmp_path):
    show(browser, tmp_path, "<canvas></canvas>")
    resize(browser, 390, 844)
    assert browser.execute_script("return window.innerWidth") == 390
    assert browser.execute_script("return document.querySelector('canvas').getContext('webgl2') !== null")
