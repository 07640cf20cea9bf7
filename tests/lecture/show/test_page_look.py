"""Prose that points, the sides of a decision, a lesson in a course page's frame, and its sheets for paper."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from pylitefs.cli.pdf import sheets
from pylitefs.lecture.recording import open_recording, packaged
from pylitefs.lecture.show.replay_html import page as replay_page
from tests import axe
from tests.lecture import recordings
from tests.lecture.browsing import chromium, open_page, wait_for
from tests.lecture.scripted import recorded

pytestmark = pytest.mark.browser

TEACHING = (Path(__file__).resolve().parents[3] / "docs" / "teaching.md").read_text()
DECISION = 17
"""The step of the lesson `behind` at which n1's decision is held."""
TOO_LARGE = """() => [...document.querySelectorAll('.sheet')].flatMap((sheet, number) =>
  [...sheet.querySelectorAll('.sheet-left, .sheet-right')]
    .filter((one) => one.scrollHeight > one.clientHeight + 1 || one.scrollWidth > one.clientWidth + 1)
    .map((one) => `${number + 1} ${one.className}`))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def course_page(folder: Path, lesson: str, step: int) -> str:
    """A course page with the documented line in it, beside the lesson's file, on disk."""
    (folder / f"{lesson}.html").write_bytes(replay_page(open_recording(lesson)))
    [line] = re.findall(r"^<iframe .*$", TEACHING, re.MULTILINE)
    written, count = re.subn(r'src="ltx-file\.html#step=\d+"', f'src="{lesson}.html#step={step}"', line)
    assert count == 1
    (folder / "course.html").write_text(
        f'<!doctype html><html lang="en"><title>Course</title><main><h1>Week 3</h1>{written}</main>'
    )
    return (folder / "course.html").as_uri()


def in_frame(page: Page) -> Frame:
    deadline = 200
    while len(page.frames) < 2 or not page.frames[1].evaluate("document.querySelectorAll('.card').length"):
        page.wait_for_timeout(50)
        deadline -= 1
        assert deadline, "the lesson never showed in its frame"
    return page.frames[1]


def explained(frame: Frame) -> str:
    return frame.locator("#explain").inner_text()


def test_a_lesson_in_a_course_page_shows_what_its_prose_points_at(browser: Browser, tmp_path: Path) -> None:
    """At the linked step: the caption that the lesson expects, both sides, its `look`, a link; then a key."""
    with open_page(browser, course_page(tmp_path, "behind", DECISION), width=1280, height=900) as page:
        frame = in_frame(page)
        told = frame.locator("#told")
        expect(told).to_contain_text("LTX files 0000000000000003 to 0000000000000004 continue")
        expect(frame.locator(".sides .same")).to_have_count(2)
        expect(frame.locator(".sides .side-verdict")).to_have_text("n2 gets LTX files")
        checksum = frame.locator(".sides .full").first.inner_text()
        assert explained(frame).startswith("pre-apply checksum") and checksum in explained(frame)
        frame.locator("#fields button", has_text="magic").click()
        assert explained(frame).startswith("magic")
        frame.get_by_role("button", name="that one").click()
        expect(frame.locator("#explain")).to_contain_text(re.compile("^pre-apply checksum"))
        frame.locator("#title").click()
        for _ in range(2):
            place = frame.locator("#place").inner_text()
            page.keyboard.press("PageUp")
            expect(frame.locator("#place")).not_to_have_text(place)
        expect(frame.locator("#prose")).to_contain_text("still answers, with what it has")
        frame.locator("[data-look=n2]").click()
        expect(frame.locator(".card[data-node=n2] h2.looked-at")).to_have_count(1)
        frame.evaluate("location.hash = '#step=3'")
        frame.locator(".term", has_text="snapshot").hover()
        expect(frame.locator("#tip")).to_contain_text("snapshot: an LTX file that begins at TXID 1")


@pytest.mark.full
def test_pages_and_locks_are_marked_and_what_is_not_there_is_said(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "lesson.html").write_bytes(replay_page(open_recording("replica")))
    step = 1 + next(one.index for one in open_recording("replica").head.steps if "page.apply" in one.text)
    with open_page(browser, (tmp_path / "lesson.html").as_uri() + f"#step={step}") as page:
        for link, selector in (("n2/lock/EXCLUSIVE", ".lock"), ("n2/page/1", ".page")):
            page.locator(f'[data-look="{link}"]').click()
            expect(page.locator(f".card[data-node=n2] {selector}.looked-at")).to_have_count(1)
        assert not axe.serious(page)
        page.evaluate("location.hash = '#step=2'")
        wait_for(page, "document.querySelector('#prose').innerText.includes('Two nodes')")
        page.evaluate("document.querySelector('#prose').innerHTML = '<b data-look=\"n2/wal\">it</b>'")
        page.locator('[data-look="n2/wal"]').click()
        expect(page.locator("#toast")).to_contain_text("It is not there at this step")


@pytest.mark.full
def test_a_short_lesson_has_a_sheet_for_each_step(browser: Browser) -> None:
    """The made one; every packaged lesson has its own in the full run."""
    entries = recordings.made().entries
    count = sum(one.stop for one in entries) + (not entries[-1].stop)
    with recorded() as server, open_page(browser, server.url, width=1047, height=718) as page:
        wait_for(page, f"Number(document.querySelector('#slider').max) === {len(entries) - 1}")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        expect(page.locator(".sheet")).to_have_count(count)
        assert page.evaluate(TOO_LARGE) == []


@pytest.mark.full
@pytest.mark.parametrize("name", packaged())
def test_each_step_has_a_sheet_and_all_of_it_is_on_it(browser: Browser, name: str, tmp_path: Path) -> None:
    """As the browser makes them when it is about to print; afterwards the page is as it was."""
    found = open_recording(name)
    (tmp_path / "lesson.html").write_bytes(replay_page(found))
    with open_page(browser, (tmp_path / "lesson.html").as_uri(), width=1047, height=718) as page:
        wait_for(page, f"Number(document.querySelector('#slider').max) === {len(found.entries) - 1}")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        expect(page.locator(".sheet")).to_have_count(sheets(found))
        assert page.evaluate(TOO_LARGE) == []
        expect(page.locator("#top")).to_be_hidden()
        shown = page.locator(".sheet").all_inner_texts()
        for one in found.head.sections:
            assert any(one.heading in text for text in shown), one.heading
        page.emulate_media(media="screen")
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        expect(page.locator("#print")).to_have_count(0)
        expect(page.locator("#top")).to_be_visible()
