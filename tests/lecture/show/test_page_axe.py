"""The page for those who hear it or see it badly: axe finds nothing serious, and a question is said aloud."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pylitefs.lecture.recording import open_recording, packaged
from pylitefs.lecture.show import handout
from tests import axe
from tests.lecture import recordings
from tests.lecture.browsing import chromium, open_page, pause_as_people_do, step, wait_for
from tests.lecture.scripted import live, recorded

pytestmark = pytest.mark.browser

BYTES = 5
"""So many presses bring bytes that have changed."""
QUESTION = 2
"""So many more bring the question."""


def to_bytes(page: Page) -> None:
    for _ in range(BYTES):
        step(page)


def to_question(page: Page) -> None:
    for _ in range(QUESTION):
        step(page)
    expect(page.locator("#question")).to_be_visible()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.mark.full
def test_axe_finds_nothing_serious_on_a_live_page(browser: Browser) -> None:
    """With bytes that have changed, and with a question that is open."""
    with live() as (server, _), open_page(browser, server.url) as page:
        to_bytes(page)
        assert not axe.serious(page)
        to_question(page)
        assert not axe.serious(page)


@pytest.mark.full
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_wherever_a_live_page_is(browser: Browser, theme: str) -> None:
    """In both themes and in large type: an answer, every tab, the dialogs, looking back."""
    with live() as (server, _), open_page(browser, server.url, theme=theme) as page:
        to_bytes(page)
        assert not axe.serious(page)
        to_question(page)
        assert not axe.serious(page)
        page.keyboard.press("1")
        expect(page.locator(".choice.wrong")).to_be_visible()
        assert not axe.serious(page)
        page.keyboard.press("l")
        for tab in "bxef":
            page.keyboard.press(tab)
            assert not axe.serious(page)
        for key in "?a":
            page.keyboard.press(key)
            expect(page.locator("dialog")).to_be_visible()
            assert not axe.serious(page)
            page.keyboard.press("Escape")
        page.keyboard.press("PageUp")
        expect(page.locator(".badge.past")).to_be_visible()
        assert not axe.serious(page)


def test_axe_finds_nothing_serious_on_a_recording(browser: Browser) -> None:
    """At its end, with a node whose way is cut, in the dark."""
    with recorded() as server, open_page(browser, server.url, theme="dark") as page:
        wait_for(page, "document.querySelector('.badge.recorded')")
        last = recordings.lines(recordings.made())[-1]["entry"]["seq"]
        wait_for(page, f"document.querySelector('#slider').max === '{last}'")
        page.keyboard.press("End")
        wait_for(page, "document.querySelector('.card')")
        assert not axe.serious(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_kind_of_byte_can_be_read(browser: Browser, theme: str) -> None:
    """Whatever its field, changed or not, chosen or not: the contrast is enough."""
    with recorded() as server, open_page(browser, server.url, theme=theme) as page:
        wait_for(page, "document.querySelector('.badge.recorded')")
        count = page.evaluate(_ALL_BYTES)
        assert count == 13 * 4 and not axe.serious(page, "#hex")


_ALL_BYTES = """() => {
  const kinds = ['magic', 'size', 'page', 'count', 'txid', 'checksum', 'salt', 'flag', 'time', 'lock',
    'content', 'unused', 'field'];
  const found = kinds.flatMap((kind) => ['', 'changed', 'chosen', 'changed chosen'].map((how) => {
    const byte = document.createElement('span');
    byte.className = `byte k-${kind} ${how}`;
    byte.textContent = '2a';
    return byte;
  }));
  document.querySelector('#hex').replaceChildren(...found);
  return found.length;
}"""


def test_axe_finds_nothing_serious_on_the_handout(browser: Browser, tmp_path: Path) -> None:
    """The list of lessons, and the byte layouts."""
    heads = [open_recording(name).head for name in packaged()[:2]]
    for name, data in (("index", handout.index_page(heads)), ("layouts", handout.layouts_page())):
        path = tmp_path / f"{name}.html"
        path.write_bytes(data)
        with open_page(browser, path.as_uri()) as page:
            assert not axe.serious(page), name


def said(page: Page) -> str:
    """What a screen reader is given to say."""
    return page.locator("#announce[role=status][aria-live=polite]").inner_text()


def test_a_question_is_said_aloud_and_so_is_its_answer(browser: Browser) -> None:
    """With its choices by number; then whether one was right, and why. Nothing is left of it afterwards."""
    with live() as (server, _), open_page(browser, server.url) as page:
        to_bytes(page)
        to_question(page)
        assert said(page).startswith("A question: The LTX file is durable, the shell still waits")
        assert "1: No: SQLite has not answered yet; 2: Yes: what is durable" in said(page)
        page.keyboard.press("1")
        expect(page.locator(".why")).to_be_visible()
        assert said(page).startswith("Not so. The answer is 2: Yes: what is durable")
        pause_as_people_do(page)
        step(page)
        assert said(page) == ""
