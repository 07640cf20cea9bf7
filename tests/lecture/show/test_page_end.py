"""The end of a lesson: a summary of what was shown and asked, the next lesson, and again."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pylitefs.lecture.recording import open_recording, packaged
from pylitefs.lecture.show import handout
from tests import axe
from tests.lecture import layout
from tests.lecture.browsing import chromium, open_page, pause_as_people_do, place, step, wait_for
from tests.lecture.scripted import live, recorded

pytestmark = pytest.mark.browser

TO_THE_END = 12
"""So many presses end the made lesson; the eighth answers its question."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def is_there(page: Page) -> None:
    """All of the recording has come."""
    wait_for(page, "Number(document.querySelector('#slider').max) > 10")


def test_next_after_the_last_step_sums_up(browser: Browser) -> None:
    """Passages, questions with the right answer and one's own, again; and Back takes it away."""
    with live() as (server, session), open_page(browser, server.url) as page:
        for press in range(TO_THE_END):
            if press == 7:
                page.keyboard.press("1")
                expect(page.locator(".choice.wrong")).to_be_visible()
                pause_as_people_do(page)
            else:
                step(page)
        asked = len(session.asked)
        expect(page.locator("#end")).to_be_hidden()
        page.keyboard.press("PageDown")
        expect(page.locator("#end h2")).to_have_text("The end of “A transaction becomes an LTX file”")
        assert page.locator(".passage").all_inner_texts() == [
            "Three nodes",
            "The commit is held",
            "On its way",
        ]
        expect(page.locator(".recap")).to_contain_text(
            "Yes: what is durable under its final name is replayed"
        )
        expect(page.locator(".was-wrong")).to_have_text("✗ you said 1")
        assert not axe.serious(page)
        page.keyboard.press("PageDown")
        assert len(session.asked) == asked  # nothing is asked of the nodes any more
        page.keyboard.press("PageUp")
        expect(page.locator("#end")).to_be_hidden()
        page.keyboard.press("PageDown")
        page.get_by_role("button", name="Again from the beginning").click()
        wait_for(page, "!document.querySelector('.card')")
        assert session.asked[-1] == ("again", 0)


def test_a_passage_leads_back_to_it(browser: Browser) -> None:
    with recorded() as server, open_page(browser, server.url) as page:
        is_there(page)
        page.keyboard.press("End")
        expect(page.locator(".card")).to_have_count(3)
        page.keyboard.press("PageDown")
        page.get_by_role("button", name="On its way").click()
        expect(page.locator("#prose h2")).to_have_text("On its way")
        expect(page.locator("#end")).to_be_hidden()
        page.keyboard.press("End")
        page.keyboard.press("PageDown")
        page.get_by_role("button", name="Again from the beginning").click()
        wait_for(page, "document.querySelector('#slider').value === '0'")


def test_a_lecture_names_the_line_that_starts_the_next_lesson(browser: Browser) -> None:
    found = open_recording("commit")
    with recorded(list(found.lines())) as server, open_page(browser, server.url) as page:
        is_there(page)
        page.keyboard.press("End")
        expect(page.locator(".card")).to_have_count(1)
        page.keyboard.press("PageDown")
        expect(page.locator(".go-on-by-hand")).to_contain_text("A transaction becomes an LTX file")
        expect(page.locator(".go-on-by-hand code")).to_have_text("pylitefs replay ltx-file")


def test_the_handout_s_lessons_lead_to_each_other(browser: Browser, tmp_path: Path) -> None:
    """By a link to the file beside it; the last one has none."""
    handout.write(tmp_path / "all.zip", [open_recording(name) for name in ("commit", "ltx-file")])
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        archive.extractall(tmp_path)
    with open_page(browser, (tmp_path / "all" / "commit.html").as_uri()) as page:
        for lesson, links in (("What SQLite does when it commits", 1), ("A transaction becomes", 0)):
            expect(page.locator("#title")).to_contain_text(lesson)
            is_there(page)
            page.keyboard.press("End")
            expect(page.locator(".card")).to_have_count(1)
            page.keyboard.press("PageDown")
            expect(page.locator("#end")).to_be_visible()
            expect(page.locator(".go-on")).to_have_count(links)
            if links:
                page.locator(".go-on").click()


@pytest.mark.full
@pytest.mark.parametrize("name", packaged())
def test_the_end_fits_at_every_size(browser: Browser, name: str) -> None:
    """All of it without scrolling, where a lecture is shown."""
    with recorded(list(open_recording(name).lines())) as server, open_page(browser, server.url) as page:
        is_there(page)
        page.keyboard.press("End")
        wait_for(page, "document.querySelector('.card')")
        pause_as_people_do(page)
        page.keyboard.press("PageDown")
        expect(page.locator("#end")).to_be_visible()
        for large in (False, True):
            if large:
                page.keyboard.press("l")
            for size in ((1024, 768), (1280, 720), (1920, 1080), (390, 844), (820, 1180)):
                page.set_viewport_size({"width": size[0], "height": size[1]})
                page.wait_for_timeout(50)
                wait_for(page, f"innerWidth === {size[0]}")
                assert not layout.wrong(page), (size, large)
        assert place(page)
