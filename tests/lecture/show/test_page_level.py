"""A level on the page: the line that is typed into, the goal beside the nodes, hints, the end; at every size.

No node runs: the session is scripted, and what it tells is what a level's attempt shows.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from pylitefs.errors import LessonError
from pylitefs.lecture.language import level as levels
from pylitefs.lecture.language.grammar import parse
from pylitefs.lecture.live.attempt import Attempt
from pylitefs.lecture.model import Entry
from pylitefs.lecture.recording import Head
from pylitefs.lecture.show.server import LectureServer
from tests import axe
from tests.lecture import layout, recordings
from tests.lecture.browsing import chromium, open_page, wait_for

pytestmark = pytest.mark.browser

FULLEST = "handed-over"
"""The level with the longest goal."""
WHY = "n2 passed catchup.decide, but never with 'both are at TXID'; the last was: n1 gets nothing"
SIZES = ((1280, 720), (1024, 768))


class ScriptedLevel:
    """Its goal is reached by the command `sql n1 COMMIT`."""

    def __init__(self, server: LectureServer, level: levels.Level) -> None:
        self._server = server
        self._made = recordings.made()
        self.attempt = Attempt(level)
        self.seq = 0

    def _tell(self, text: str) -> None:
        changes = {"level": self.attempt.shown()}
        told = Entry(self.seq, self.seq, "note", "level", text=text, set=changes, stop=True, step=3)
        self._server.emit(told, [])
        self.seq += 1

    def next(self) -> None:
        """The scene: the made lesson's history."""
        for entry in self._made.entries:
            self._server.emit(entry, self._made.dumps[entry.seq])
            self.seq = entry.seq + 1
        self.attempt.saw([WHY] * len(self.attempt.unmet))
        self._tell("Your turn.")

    def answer(self, choice: int) -> None:
        raise LessonError(f"no question {choice}")

    def do(self, line: str) -> None:
        self.attempt.check(parse(line))
        self.attempt.did(line, "n1 goes on as the primary: a transaction is open", counts=True)
        unmet = [None if line.endswith("COMMIT") else WHY for _ in self.attempt.unmet]
        self.attempt.saw([None, *unmet[1:]] if unmet[1:] else unmet)
        self._tell(self.attempt.why_over or "Go on.")

    def again(self, step: int, *, yours: bool = True) -> None:
        self.attempt = Attempt(self.attempt.level, self.attempt.hints)
        self.next()

    def hint(self) -> None:
        self._tell(self.attempt.hint())

    def give_up(self) -> None:
        self.attempt.give_up()
        self._tell(self.attempt.why_over)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@contextmanager
def played(name: str) -> Iterator[tuple[LectureServer, ScriptedLevel]]:
    level = levels.load(name)
    server = LectureServer(Head.of(level.opening).to_json())
    session = ScriptedLevel(server, level)
    server.attach(session)
    server.start()
    try:
        server.do("next", True)
        yield server, session
    finally:
        assert server.stop()


def looks_right(page: Page) -> None:
    """At each size, normal and large: nothing cut, nothing covered; and the line is in the window."""
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        for _ in range(2):
            page.locator("#tool-large").click()
            assert layout.wrong(page) == [], (width, page.evaluate("document.documentElement.className"))
            line = page.locator("#play").bounding_box()
            assert line and line["y"] + line["height"] <= height and line["width"] <= width
            assert page.locator("#steps").evaluate("one => one.clientHeight") >= 100


def test_a_level_is_played(browser: Browser) -> None:
    """A typo costs nothing and stays to be mended; Tab completes; hints, the end, a solution, and again."""
    with played(FULLEST) as (server, session), open_page(browser, server.url) as page:
        line, offer = page.locator("#command"), page.locator("#offer")
        expect(line).to_be_focused()
        expect(page.locator("#left")).to_have_text("4 of 4 left")
        expect(page.locator("#prose h2")).to_have_text("The goal")
        expect(page.locator(".goal .unmet")).to_have_count(5)
        expect(page.locator(".goal .never")).to_contain_text(
            ["A lease is lost", "kill expire-lease partition"]
        )
        expect(page.locator("#next")).to_have_text("Your turn")

        line.fill("handof")
        expect(offer).to_contain_text("handoff")
        line.press("Tab")
        expect(line).to_have_value("handoff ")
        expect(offer).to_contain_text("the primary hands its lease to this node")
        line.fill("handof n2")
        line.press("Enter")
        expect(offer).to_contain_text("there is no command 'handof'; write: handoff")
        expect(line).to_have_value("handof n2")
        line.fill("kill n1")
        line.press("Enter")
        expect(offer).to_contain_text("not to be given in this level")
        expect(page.locator("#left")).to_have_text("4 of 4 left")

        page.get_by_role("button", name="Hint (3)").click()
        expect(page.locator("#steps .hint")).to_contain_text("Hint 1: A primary can be told")
        line.fill("handoff n2")
        line.press("Enter")
        expect(page.locator("#steps .given .outcome")).to_contain_text("a transaction is open")
        expect(page.locator(".goal .met")).to_have_count(1)
        expect(line).to_have_value("")
        expect(line).to_be_focused()
        line.press("ArrowUp")
        expect(line).to_have_value("handoff n2")

        line.fill("sql n1 COMMIT")
        line.press("Enter")
        expect(page.locator(".ending.is-good")).to_contain_text("The goal is reached, with 2 commands")
        expect(page.locator("#steps .solution").first).to_contain_text(
            "A solution with 3:handoff n2sql n1 COMMIT"
        )
        expect(page.locator("#steps")).to_contain_text("pylitefs lecture borrowed")
        expect(line).to_be_disabled()
        assert layout.wrong(page) == []

        page.locator("#tool-again").click()
        wait_for(page, "document.querySelector('#left').innerText === '4 of 4 left'")
        expect(page.locator("#steps .hint")).to_have_count(1)
        page.get_by_role("button", name="Give up").click()
        expect(page.locator(".ending.is-bad")).to_contain_text("You have given up")
        assert session.attempt.over == "given up"


@pytest.mark.full
@pytest.mark.parametrize("name", ["lost", FULLEST, "borrowed", "no-snapshot"])
def test_a_level_has_its_room_at_every_size(browser: Browser, name: str) -> None:
    """At the start, with all reasons; with hints and commands; and at its end."""
    with played(name) as (server, session), open_page(browser, server.url) as page:
        expect(page.locator(".goal .unmet")).to_have_count(len(session.attempt.unmet))
        looks_right(page)
        for _ in session.attempt.level.hints:
            session.hint()
        session.do("sql n1 SELECT owner, cents FROM account WHERE owner = 'Ada'")
        expect(page.locator("#steps .given")).to_have_count(1)
        looks_right(page)
        session.give_up()
        expect(page.locator(".ending")).to_be_visible()
        assert not axe.serious(page)
        looks_right(page)
