"""The page at every size: nothing is cut, nothing scrolls sideways, what the prose points at can be seen.

Recordings of the lessons are walked through in one browser whose window changes its size; no node runs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page

from pylitefs.lecture.model import Entry
from pylitefs.lecture.recording import Recording, open_recording, packaged
from pylitefs.lecture.show import handout
from pylitefs.lecture.show.replay_html import page as replay_page
from pylitefs.lecture.show.server import LectureServer
from tests.lecture import layout
from tests.lecture.browsing import chromium, open_page, wait_for

pytestmark = pytest.mark.browser


class Size(NamedTuple):
    """A window, and whether the type is large."""

    width: int
    height: int
    large: bool = False


PROJECTORS = [
    Size(*size, large) for size in ((1024, 768), (1280, 720), (1920, 1080)) for large in (False, True)
]
IN_THE_HAND = [Size(*size, large) for size in ((390, 844), (820, 1180)) for large in (False, True)]
EXTREMES = [Size(1024, 768, True), Size(1280, 720, True), Size(390, 844), Size(820, 1180, True)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def resize(page: Page, size: Size) -> None:
    """As a window is resized, and large type chosen."""
    page.set_viewport_size({"width": size.width, "height": size.height})
    if page.evaluate("document.documentElement.classList.contains('large')") != size.large:
        page.keyboard.press("l")
    large = f"document.documentElement.classList.contains('large') === {str(size.large).lower()}"
    wait_for(page, f"innerWidth === {size.width} && {large}")


@contextmanager
def replayed(browser: Browser, found: Recording, folder: Path, theme: str = "light") -> Iterator[Page]:
    """The recording as one file, opened from the disk."""
    path = folder / f"{found.head.lesson}.html"
    path.write_bytes(replay_page(found))
    with open_page(browser, path.as_uri(), theme=theme) as page:
        wait_for(page, "document.querySelector('.badge.recorded')")
        yield page


@contextmanager
def lived(browser: Browser, found: Recording, theme: str = "light") -> Iterator[tuple[Page, LectureServer]]:
    """A live page to which nothing has been told yet."""
    server = LectureServer(found.head.to_json())
    server.start()
    try:
        with open_page(browser, server.url, theme=theme) as page:
            wait_for(page, "document.querySelector('.badge.live')")
            yield page, server
    finally:
        server.stop()


def wrong_while_told(
    page: Page, server: LectureServer, found: Recording, sizes: Sequence[Size]
) -> dict[str, list[str]]:
    """Tell the whole run, stop by stop; what is wrong at each size, by size and entry."""
    wrong: dict[str, list[str]] = {}
    begin = 0
    for at in layout.stops(found.entries):
        for entry in found.entries[begin : at + 1]:
            server.emit(with_mount(entry), [found.dumps[one] for one in entry.dumps])
        begin = at + 1
        wait_for(page, f"document.querySelector('#slider').value === '{at}'")
        for size in sizes:
            resize(page, size)
            if bad := layout.wrong(page):
                wrong[f"{size} at {at}"] = bad
    return wrong


def with_mount(entry: Entry) -> Entry:
    """As it was live: a recording has no paths."""
    mounts = {key: f"/tmp/lecture/{key}" for key in entry.set if key.endswith("/mount")}
    return replace(entry, set={**entry.set, **mounts})


@pytest.mark.parametrize("lesson", ["split-brain", pytest.param("wal", marks=pytest.mark.full)])
def test_nothing_is_cut_where_there_is_least_room(browser: Browser, tmp_path: Path, lesson: str) -> None:
    """Every fourth stop of a recording, in large type on a small projector, on a phone and on a tablet."""
    found = open_recording(lesson)
    with replayed(browser, found, tmp_path) as page:
        for size in EXTREMES:
            resize(page, size)
            assert not layout.walk(page, layout.stops(found.entries)[1::4]), size


@pytest.mark.full
def test_nothing_is_cut_of_a_live_lesson(browser: Browser) -> None:
    """With its buttons and the paths to copy, which a recording has not; the last few stops."""
    found = open_recording("asynchronous")
    with lived(browser, found) as (page, server):
        resize(page, Size(1024, 768, True))
        assert not wrong_while_told(page, server, found, [Size(1024, 768, True)])
        assert not layout.walk(page, layout.stops(found.entries)[::4])  # looking back


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("lesson", packaged())
def test_nothing_is_cut_of_any_lesson(browser: Browser, tmp_path: Path, lesson: str, theme: str) -> None:
    """The whole matrix: every stop, at every size, replayed and live, in both types and both themes."""
    found = open_recording(lesson)
    with replayed(browser, found, tmp_path, theme) as page:
        for size in (*PROJECTORS, *IN_THE_HAND):
            resize(page, size)
            assert not layout.walk(page, layout.stops(found.entries)), size
    for size in PROJECTORS:
        with lived(browser, found, theme) as (page, server):
            resize(page, size)
            assert not wrong_while_told(page, server, found, [size])
            assert not layout.walk(page, layout.stops(found.entries)), size  # looking back


@pytest.mark.full
def test_the_handout_s_own_pages_fit_into_a_hand(browser: Browser, tmp_path: Path) -> None:
    """The list of lessons and the byte layouts scroll down and never sideways."""
    heads = [open_recording(name).head for name in packaged()]
    for name, data in (("index", handout.index_page(heads)), ("layouts", handout.layouts_page())):
        path = tmp_path / f"{name}.html"
        path.write_bytes(data)
        with open_page(browser, path.as_uri()) as page:
            for size in ((390, 844), (820, 1180), (1280, 720)):
                page.set_viewport_size({"width": size[0], "height": size[1]})
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, size)
