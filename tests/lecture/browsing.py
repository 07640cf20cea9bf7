"""A real browser for the tests: Debian's Chromium without a window, through Playwright."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = os.environ.get("PYLITEFS_CHROMIUM", "/usr/bin/chromium")
DEADLINE_MS = 15_000


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """The browser; it ends with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *arguments])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(
    browser: Browser,
    url: str,
    *,
    width: int = 1280,
    height: int = 720,
    theme: str = "light",
    silent: bool = True,
) -> Iterator[Page]:
    """A page on this URL. If `silent`, nothing may have been said on the console, nor gone wrong."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.set_default_timeout(DEADLINE_MS)
    said: list[str] = []
    page.on("console", lambda message: _keep(said, message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        page.goto(url)
        yield page
        assert not silent or said == [], said
    finally:
        context.close()


def _keep(said: list[str], text: str) -> None:
    """Chromium says it whenever a request is refused; the page shows why in words of its own."""
    if "the server responded with a status of 409" not in text:
        said.append(text)


def wait_for(page: Page, condition: str) -> None:
    """Wait until this expression is true in the page. Its policy forbids Playwright's own way."""
    deadline = time.monotonic() + DEADLINE_MS / 1000
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"never so: {condition}"
        page.wait_for_timeout(20)


def place(page: Page) -> int:
    """The entry that is looked at."""
    return int(page.locator("#slider").input_value())


def step(page: Page, key: str = "PageDown") -> None:
    """Press a key that steps, and wait until what it brings is drawn, and nothing is being done."""
    with drawn_after(page):
        page.keyboard.press(key)


@contextmanager
def drawn_after(page: Page) -> Iterator[None]:
    """The block does what brings an entry: wait until that is drawn, and nothing is being done.

    A click is drawn a moment later: "nothing is being done" alone can still be of the time before it.
    """
    before = page.locator("#place").inner_text()
    yield
    wait_for(page, f"document.querySelector('#place').innerText !== {json.dumps(before)}")
    wait_for(page, "!document.querySelector('.badge.busy')")


def pause_as_people_do(page: Page) -> None:
    """Let the second pass in which a press after a question counts as a double press."""
    began = time.monotonic()
    while time.monotonic() < began + 1.1:
        page.wait_for_timeout(50)
