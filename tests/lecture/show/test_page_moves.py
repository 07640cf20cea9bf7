"""What moves on the page, and what must always be so: the first minute, folded runs, the five sentences."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pylitefs.lecture.recording import open_recording
from pylitefs.lecture.show.replay_html import page as replay_page
from pylitefs.lecture.show.server import LectureServer
from tests import axe
from tests.lecture import recordings
from tests.lecture.browsing import chromium, open_page, place, wait_for
from tests.lecture.scripted import ScriptedSession

pytestmark = pytest.mark.browser

MOVING = "document.getAnimations().filter((one) => one.animationName === 'lit').length"
"""How many pages are lighting up."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def go_to(page: Page, entry: int) -> None:
    page.locator("#slider").fill(str(entry))
    wait_for(page, f"document.querySelector('#place').innerText.startsWith('{entry} /')")


def verdicts(page: Page) -> list[str]:
    """The signs, in their order."""
    return page.locator(".must .sign").all_inner_texts()


@pytest.mark.full
def test_the_five_sentences_are_red_at_the_very_entry_and_lead_there(
    browser: Browser, tmp_path: Path
) -> None:
    """In a page from the disk. Also by keyboard; and axe has nothing to say."""
    path = tmp_path / "lesson.html"
    found = open_recording("split-brain")
    # n2 becomes a primary beside n1, and has not what n1 acknowledged.
    split = next(one.seq for one in found.entries if (one.name, one.node) == ("lease.acquire", "n2"))
    path.write_bytes(replay_page(found))
    with open_page(browser, path.as_uri()) as page:
        wait_for(page, "Number(document.querySelector('#slider').max) > 300")
        go_to(page, split - 1)
        assert verdicts(page) == ["✓", "✓", "✓", "–", "✓"]
        assert page.locator(".reason").count() == 0
        go_to(page, split)
        assert verdicts(page) == ["✓", "✓", "✓", "✗", "✗"]
        expect(page.locator(".reason").first).to_contain_text("n1 and n2 lead at the same time")
        expect(page.locator(".reason").last).to_contain_text("n2 leads without transaction 3 of data.db")
        expect(page.locator("#told")).to_contain_text("lease.acquire")
        assert not axe.serious(page)
        page.keyboard.press("End")
        expect(page.locator(".reason")).to_contain_text("No node has transaction 3")
        page.locator(".must.is-broken").focus()
        page.keyboard.press("Enter")
        wait_for(page, f"document.querySelector('#slider').value === '{split}'")


def test_runs_of_like_events_open_and_fold(browser: Browser, tmp_path: Path) -> None:
    """In the table by a click or Enter, in the diagram too; all by one key. The legend has each sign."""
    path = tmp_path / "lesson.html"
    path.write_bytes(replay_page(open_recording("commit")))
    with open_page(browser, path.as_uri()) as page:
        wait_for(page, "Number(document.querySelector('#slider').max) > 100")
        go_to(page, 10)
        page.keyboard.press("e")
        locks = page.locator("tr.run", has_text="8 locks")
        expect(locks).to_have_attribute("aria-expanded", "false")
        expect(page.locator("tr.run", has_text="journal 1 page").first).to_be_visible()
        assert page.locator("tr[data-at='7']").count() == 0
        rows = int(page.locator(".events").get_attribute("aria-rowcount") or 0)
        locks.click()
        expect(page.locator("tr[data-at='7']")).to_be_visible()
        assert page.locator(".events").get_attribute("aria-rowcount") == str(rows + 8)
        expect(page.locator("#announce-run")).to_have_text("8 locks on n1: opened")
        locks.focus()
        page.keyboard.press("Enter")
        expect(locks).to_have_attribute("aria-expanded", "false")
        assert place(page) == 10
        page.locator("#diagram").focus()
        page.keyboard.press("Enter")
        expect(locks).to_have_attribute("aria-expanded", "true")
        page.keyboard.press("Enter")
        # One sign is one move: over the run, and back.
        page.keyboard.press("ArrowRight")
        wait_for(page, "document.querySelector('#slider').value === '11'")
        page.keyboard.press("ArrowLeft")
        wait_for(page, "document.querySelector('#slider').value === '10'")
        page.keyboard.press("ArrowLeft")
        wait_for(page, "document.querySelector('#slider').value === '1'")
        page.keyboard.press("o")
        expect(page.locator("tr.run[aria-expanded=false]")).to_have_count(0)
        page.keyboard.press("o")
        page.keyboard.press("s")
        expect(page.locator("dialog .signs li")).to_have_count(17 + 6 + 4)
        assert not axe.serious(page)


@pytest.mark.full
def test_a_run_in_the_diagram_is_opened_by_a_click_on_it(browser: Browser, tmp_path: Path) -> None:
    """And folded by one on the line over it; the pointer tells of both."""
    path = tmp_path / "lesson.html"
    path.write_bytes(replay_page(open_recording("commit")))
    with open_page(browser, path.as_uri()) as page:
        wait_for(page, "Number(document.querySelector('#slider').max) > 100")
        go_to(page, 12)
        spot = page.evaluate("""() => {
            const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
            const box = document.querySelector('#diagram').getBoundingClientRect();
            return {x: rem * 4.2 + rem + 4 * rem * 1.5, y: rem * 1.25 + (box.height - rem * 1.25) / 2};
        }""")
        page.locator("#diagram").hover(position=spot)
        expect(page.locator("#tip")).to_contain_text("n1: 8 locks")
        page.locator("#diagram").click(position=spot)
        expect(page.locator("#announce-run")).to_have_text("8 locks on n1: opened")
        page.mouse.move(2, 2)
        page.locator("#diagram").hover(position=spot)
        expect(page.locator("#tip")).to_contain_text("n1 lock.")
        assert place(page) == 12


def test_the_lesson_s_end_is_there_until_its_nodes_are_and_then_a_step_moves(browser: Browser) -> None:
    """From the recording, with a line that says so. What a step brings comes in one after the other, also
    where the page is drawn anew meanwhile; and at once for who asks for reduced motion."""
    made = recordings.made()
    server = LectureServer(recordings.HEADER)
    session = ScriptedSession(server, made)
    server.preview(recordings.lines(made))
    server.start()
    context = browser.new_context(viewport={"width": 1280, "height": 720}, reduced_motion="no-preference")
    try:
        page = context.new_page()
        page.goto(server.url)
        expect(page.locator("#past")).to_contain_text("How this lesson ends, from its recording.")
        expect(page.locator(".card")).to_have_count(3)
        assert page.locator(".card[data-node=n1] .txid").inner_text() == "TXID 3"
        expect(page.locator("#steps .is-next code")).to_contain_text("cluster replicas 2")
        assert place(page) == 0, "nothing of the lesson itself is there yet"
        server.attach(session)
        server.begin()
        expect(page.locator("#past")).to_be_hidden()
        expect(page.locator(".card[data-node=n1] .database")).to_have_count(0)
        page.keyboard.press("PageDown")
        wait_for(page, "document.querySelector('.grid .page.now')")
        assert page.evaluate(MOVING) > 0
        page.keyboard.press("l")  # it is drawn anew, and goes on
        wait_for(page, "document.documentElement.classList.contains('large')")
        assert page.evaluate(
            f"{MOVING} || document.querySelector('#nodes').classList.contains('forward') === false"
        )
        page.emulate_media(reduced_motion="reduce")
        page.keyboard.press("PageDown")
        assert page.evaluate(MOVING) == 0
    finally:
        context.close()
        assert server.stop()
