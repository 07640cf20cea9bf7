"""A shared lecture in real browsers: the lecturer's page with code and votes, and a student's telephone.

`PYLITEFS_SCREENSHOTS=FOLDER` keeps pictures.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pylitefs.lecture.model import Dump, Entry
from pylitefs.lecture.recording import open_recording, packaged
from pylitefs.lecture.show.server import LectureServer
from pylitefs.lecture.show.sharing import Sharing
from tests import axe
from tests.lecture import layout, recordings
from tests.lecture.browsing import chromium, open_page, pause_as_people_do, place, step, wait_for
from tests.lecture.scripted import ScriptedSession

pytestmark = pytest.mark.browser

TO_QUESTION = 7


@dataclass
class Both:
    """The lecturer's server and the followers'."""

    server: LectureServer
    sharing: Sharing

    def emit(self, entry: Entry, dumps: Sequence[Dump]) -> None:
        self.server.emit(entry, dumps)
        self.sharing.emit(entry, dumps)

    @property
    def link(self) -> str:
        return self.sharing.links[0][0]


@contextmanager
def shared() -> Iterator[tuple[Both, ScriptedSession]]:
    """The made lesson, shared as `pylitefs lecture --share` does."""
    sharing = Sharing(recordings.HEADER, ("127.0.0.1", 0))
    sharing.start()
    server = LectureServer(recordings.HEADER)
    both = Both(server, sharing)
    session = ScriptedSession(both, recordings.made())
    server.attach(session)
    server.share(sharing.link())
    sharing.on_votes = server.tell_votes
    server.start()
    try:
        yield both, session
    finally:
        sharing.stop()
        assert server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def picture(page: Page, name: str) -> None:
    folder = os.environ.get("PYLITEFS_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")


def bars(page: Page) -> list[str]:
    return page.locator("#question .choice .votes b").all_inner_texts()


def has(page: Page, entry: int) -> None:
    """Wait until a follower looks at this entry."""
    wait_for(page, f"document.querySelector('#slider').value === '{entry}'")


def test_a_class_follows_votes_and_looks_back(browser: Browser) -> None:
    """The code until the lecturer goes on; a vote as a bar before the answer; a look back that stays."""
    with (
        shared() as (both, session),
        open_page(browser, both.server.url) as lectern,
        open_page(browser, both.link, width=390, height=844) as phone,
    ):
        code = lectern.locator("#share")
        expect(code).to_be_visible()
        expect(code).to_contain_text(both.link)
        assert lectern.evaluate("document.querySelector('#share img').complete")
        expect(lectern.locator("#tool-share")).to_contain_text("1 follows")
        session.next()
        wait_for(lectern, "document.querySelector('#place').innerText")
        expect(code).to_be_visible()
        step(lectern)
        expect(code).to_be_hidden()
        for _ in range(TO_QUESTION - 2):
            session.next()
        has(phone, session.at - 1)
        expect(phone.locator("#question")).to_be_visible()
        for name in ("#tool-again", "#tool-pause", "#tab-faults"):
            expect(phone.locator(name)).to_be_hidden()
        phone.locator(".choice").nth(0).click()
        expect(lectern.locator("#turnout")).to_have_text("1 of 1 have voted")
        phone.locator(".choice").nth(2).click()
        expect(phone.locator(".choice").nth(2)).to_have_attribute("aria-pressed", "true")
        expect(lectern.locator("#question .choice .votes b")).to_have_text(["0", "0", "1"])
        assert bars(phone) == [], "the class sees them with the answer"
        lectern.keyboard.press("v")
        wait_for(lectern, "!document.querySelector('.votes')")
        lectern.keyboard.press("v")
        pause_as_people_do(lectern)
        phone.locator("#back").click()
        wait_for(phone, "document.querySelector('.badge.past')")
        expect(phone.locator("#to-live")).to_have_text("Question ▶▶")
        before = place(phone)
        step(lectern)
        wait_for(phone, f"document.querySelector('#slider').max === '{place(lectern)}'")
        assert place(phone) == before
        phone.locator("#to-live").click()
        expect(phone.locator(".choice.right")).to_be_visible()
        wait_for(phone, "document.querySelectorAll('.votes b').length === 3")
        assert bars(phone) == ["0", "0", "1"]
        phone.keyboard.press("PageDown")
        assert session.asked == ["next"] * (TO_QUESTION + 1), "a follower commands nothing"


@pytest.mark.full
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (820, 1180)])
def test_a_follower_s_page_at_each_size(browser: Browser, width: int, height: int, theme: str) -> None:
    """Every step: nothing is cut; bytes, a question, a vote, an answer: axe finds nothing serious."""
    with (
        shared() as (both, session),
        open_page(browser, both.link, width=width, height=height, theme=theme) as page,
    ):
        wait_for(page, "document.body.classList.contains('follower')")
        name = f"follow-{width}-{theme}"
        for number in range(1, TO_QUESTION + 3):
            session.next()
            has(page, session.at - 1)
            assert not layout.wrong(page), number
            if number == 5:
                picture(page, f"{name}-bytes")
                assert not axe.serious(page)
            if number == TO_QUESTION:
                page.locator(".choice").nth(1).click()
                expect(page.locator(".choice.mine")).to_be_visible()
                for choice in page.locator(".choice").all():
                    box = choice.bounding_box()
                    assert box and box["height"] >= 44 and box["y"] + box["height"] <= height, (
                        "a thumb hits it"
                    )
                picture(page, f"{name}-vote")
                assert not axe.serious(page)
            if number == TO_QUESTION + 1:
                wait_for(page, "document.querySelectorAll('.votes b').length === 3")
                picture(page, f"{name}-answer")
                assert not axe.serious(page)


@pytest.mark.full
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1024, 768), (1280, 720), (1920, 1080)])
@pytest.mark.parametrize("large", [False, True])
def test_the_lecturer_s_page_at_each_size(
    browser: Browser, width: int, height: int, theme: str, large: bool
) -> None:
    """With code, follower and votes: nothing is cut, and axe finds nothing serious."""
    with (
        shared() as (both, session),
        open_page(browser, both.server.url, width=width, height=height, theme=theme) as page,
        open_page(browser, both.link, width=390, height=844) as phone,
    ):
        if large:
            page.keyboard.press("l")
        expect(page.locator("#tool-share")).to_contain_text("1 follows")
        box = page.locator("#share img").bounding_box()
        assert box and box["height"] > height / 4, "the last row scans it"
        assert not axe.serious(page)
        name = f"lecturer-{width}-{theme}{'-large' if large else ''}"
        picture(page, f"{name}-code")
        for _ in range(TO_QUESTION):
            session.next()
        has(phone, session.at - 1)
        phone.locator(".choice").nth(1).click()
        expect(page.locator("#turnout")).to_have_text("1 of 1 have voted")
        picture(page, f"{name}-votes")
        assert not layout.wrong(page)
        assert not axe.serious(page)


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", packaged())
def test_a_lesson_is_looked_back_on_in_the_hand(browser: Browser, name: str) -> None:
    """Nothing of it is cut, at any stop, on a telephone and on a tablet."""
    found = open_recording(name)
    sharing = Sharing(found.head.to_json(), ("127.0.0.1", 0))
    sharing.start()
    try:
        for entry in found.entries:
            sharing.emit(entry, [found.dumps[one] for one in entry.dumps])
        with open_page(browser, sharing.links[0][0]) as page:
            for width, height in ((390, 844), (820, 1180)):
                page.set_viewport_size({"width": width, "height": height})
                has(page, found.entries[-1].seq)
                assert not layout.walk(page, layout.stops(found.entries)), width
                page.keyboard.press("End")
    finally:
        sharing.stop()


@pytest.mark.full
def test_the_next_lesson_comes_by_itself(browser: Browser) -> None:
    """With the same token on the same port, open pages go on with it; with another they say so."""
    first = Sharing(recordings.HEADER, ("127.0.0.1", 0), token="course-2026")
    first.start()
    bind = ("127.0.0.1", first.port)
    entries = recordings.made().entries
    second = Sharing(recordings.HEADER | {"title": "The next one"}, bind, token="course-2026")
    other = Sharing(recordings.HEADER, bind)
    try:
        with open_page(browser, first.links[0][0], width=390, height=844, silent=False) as page:
            for entry in entries[:9]:
                first.emit(entry, [])
            has(page, 8)
            first.stop()
            second.start()
            second.emit(entries[0], [])
            wait_for(page, "document.querySelector('#title').innerText === 'The next one'")
            has(page, 0)
            second.stop()
            other.start()
            expect(page.locator("#toast")).to_contain_text("scan the code")
    finally:
        for one in (first, second, other):
            one.stop()
