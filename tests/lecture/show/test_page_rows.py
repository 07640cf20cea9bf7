"""The tab Rows: what the transaction at this step changed, told from its pages."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pylitefs.lecture.model import Entry, Json
from pylitefs.lecture.show.server import LectureServer
from tests import axe
from tests.lecture import layout
from tests.lecture.browsing import chromium, open_page, wait_for
from tests.lecture.committed import HEADER, committed, lines
from tests.lecture.scripted import recorded

pytestmark = pytest.mark.browser

LONG = "a long value " * 30
SCRIPTS = (
    "CREATE TABLE account(id INTEGER PRIMARY KEY, owner, cents); "
    "INSERT INTO account VALUES (1, 'Ada', 500), (2, 'Grace', 300)",
    f"UPDATE account SET cents = 0 WHERE id = 1; DELETE FROM account WHERE id = 2; "
    f"INSERT INTO account VALUES (3, '{LONG}', NULL); CREATE INDEX by_owner ON account(owner)",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def made(folder: Path) -> list[Json]:
    """Two transactions, and then a step that has none."""
    found = committed(folder / "a.db", SCRIPTS)
    last = Entry(2, 9.0, "event", "journal.open", "n1", "data.db", 2, text="A journal.", stop=True, step=0)
    return lines([*found, (last, [])])


def at(page: Page, entry: int) -> None:
    """Look at an entry."""
    page.evaluate(
        """at => {
            const slider = document.querySelector('#slider');
            slider.value = at;
            slider.dispatchEvent(new Event('input'));
        }""",
        str(entry),
    )
    wait_for(page, f"document.querySelector('#place').textContent.startsWith('{entry} /')")


@pytest.mark.full
def test_rows_are_shown_with_signs_and_the_whole_value_in_the_tip(browser: Browser, tmp_path: Path) -> None:
    """Table, key, column, before and after; a step without a transaction says so, and leads back."""
    with recorded(made(tmp_path)) as server, open_page(browser, server.url) as page:
        wait_for(page, "document.querySelector('#slider').max === '2'")
        page.keyboard.press("r")
        at(page, 1)
        panel = page.locator("#panel-rows")
        expect(panel.locator("tbody.row-changed tr")).to_have_text("~ changed account1cents500→0")
        expect(panel.locator("tbody.row-removed tr").first).to_have_text("− removed account2id2→–")
        expect(panel.locator("tbody.row-added tr")).to_have_count(3)
        expect(panel.locator(".row-told")).to_contain_text("+ added index by_owner created")
        expect(panel).to_contain_text("index by_owner")
        cut = panel.locator(".row-cut").first
        assert len(cut.inner_text()) < 60
        cut.focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")
        expect(page.locator("#tip")).to_contain_text(LONG.strip())
        assert not axe.serious(page)
        at(page, 2)
        expect(panel).to_contain_text("This step has no transaction")
        panel.get_by_role("button").click()
        expect(panel).to_contain_text(
            "transaction 2 of data.db on n1: 1 row added, 1 row changed, 1 row removed"
        )


def test_a_transaction_that_is_told_of_is_shown(browser: Browser, tmp_path: Path) -> None:
    """The lesson's `ltx n1 diff 1` turns to the tab by itself, and shows that one and not the newest."""
    found = committed(tmp_path / "a.db", SCRIPTS)
    note = Entry(2, 9.0, "note", "ltx.diff", "n1", "data.db", 1, text="Transaction 1.", stop=True, step=0)
    with recorded(lines([*found, (note, [])])) as server, open_page(browser, server.url) as page:
        wait_for(page, "document.querySelector('#slider').max === '2'")
        at(page, 1)
        expect(page.locator("#panel-bytes")).to_be_visible()
        at(page, 2)
        expect(page.locator("#panel-rows")).to_contain_text("transaction 1 of data.db on n1: 2 rows added")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_rows_fit_at_every_size(browser: Browser, tmp_path: Path, theme: str) -> None:
    """On small projectors in both types, and on a phone."""
    with recorded(made(tmp_path)) as server, open_page(browser, server.url, theme=theme) as page:
        wait_for(page, "document.querySelector('#slider').max === '2'")
        page.keyboard.press("r")
        at(page, 1)
        for large in (False, True):
            for width, height in ((1024, 768), (1280, 720), (390, 844)):
                page.set_viewport_size({"width": width, "height": height})
                wait_for(page, f"innerWidth === {width}")
                assert not layout.wrong(page), (width, large)
            page.keyboard.press("l")
            wait_for(page, f"document.documentElement.classList.contains('large') !== {str(large).lower()}")


def test_rows_are_told_live(browser: Browser, tmp_path: Path) -> None:
    """As entries come; after Again the states begin anew."""
    found = committed(tmp_path / "a.db", SCRIPTS)
    server = LectureServer(HEADER)
    server.start()
    try:
        with open_page(browser, server.url) as page:
            wait_for(page, "document.querySelector('.badge.live')")
            page.keyboard.press("r")
            for entry, dumps in found:
                server.emit(replace(entry), dumps)
            expect(page.locator("#panel-rows tbody.row-changed")).to_contain_text("cents500→0")
    finally:
        assert server.stop()
