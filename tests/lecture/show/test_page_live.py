"""Three lessons on real nodes in a real browser: stepped, answered, inspected, broken, replayed.

Each takes 15 s or more. The ordinary run has `tests/lecture/test_first_commit.py`, and live pages in parts.

`PYLITEFS_SCREENSHOTS=docs/img` keeps the pictures of the docs.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pylitefs.child_python import python_module
from pylitefs.cluster.cluster import is_mounted
from tests.lecture.browsing import chromium, open_page, pause_as_people_do, place, step, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.fuse, pytest.mark.full, pytest.mark.timeout(240)]

PYLITEFS = tuple(python_module("pylitefs"))
MOST_STEPS = 60
AGAIN_S = 5.0


@dataclass(frozen=True)
class Shown:
    """What is shown of a lesson."""

    name: str
    command: str
    """Up to this command it is stepped, for its picture."""
    tab: str
    """What the page shows there by itself."""
    told: str
    """In the sentence there."""
    dump: str
    """In the name of the file whose bytes are looked at."""
    field: str
    """A field in it."""


LESSONS = (
    Shown("ltx-file", "run-to ltx.commit", "bytes", "is synced", "LTX", "post-apply checksum"),
    Shown("split-brain", "sql n2 UPDATE", "checksum", "TXID 3", "LTX", "max TXID"),
    Shown(
        "crash", "run-to recovery.journal", "bytes", "A journal with a valid header", "ournal", "record count"
    ),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@contextmanager
def lecture(name: str, folder: Path) -> Iterator[str]:
    """`pylitefs lecture NAME`, recorded; gives the URL that it prints. Ended by Ctrl-C, it leaves nothing."""
    nodes, record = folder / "nodes", folder / "run.jsonl.gz"
    process = subprocess.Popen(
        [*PYLITEFS, "lecture", name, "--no-browser", "--record", str(record), "--dir", str(nodes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        while not (found := re.search(r"http://\S+", said)):
            line = process.stdout.readline()
            assert line, said
            said += line
        yield found[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert not [path for path in nodes.glob("**/mnt") if is_mounted(path)]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def begun(page: Page) -> None:
    """Wait until the nodes are up, which start by themselves, and the recording's end has gone for them."""
    expect(page.locator(".badge.live")).to_be_visible()
    wait_for(page, "document.querySelector('.mount') && !document.querySelector('.badge.busy')")


def picture(page: Page, name: str) -> None:
    """Keep a picture, if somebody wants them."""
    folder = os.environ.get("PYLITEFS_SCREENSHOTS")
    if folder:
        page.mouse.move(2, 2)
        page.screenshot(path=Path(folder) / f"lecture-{name}.png", animations="disabled")


def current(page: Page) -> str:
    """The marked command."""
    marked = page.locator("#steps .is-current code")
    return marked.inner_text() if marked.count() else ""


def step_on(page: Page) -> None:
    """One press; never so fast that it counts as a double press. Nothing may have failed."""
    if page.locator("#question").is_visible():
        pause_as_people_do(page)
    step(page)
    assert page.locator("#toast").is_hidden(), page.locator("#toast").inner_text()


def step_to(page: Page, command: str) -> None:
    """Press Next until the command that begins so is the one that was done."""
    for _ in range(MOST_STEPS):
        if current(page).startswith(command):
            return
        step_on(page)
    raise AssertionError(f"{command} is never reached")


def ask_the_class(page: Page, name: str) -> None:
    """To the next question; it is answered by its number."""
    for _ in range(MOST_STEPS):
        if page.locator("#question").is_visible() and not page.locator("#question.answered").count():
            break
        step_on(page)
    picture(page, f"{name}-question")
    page.keyboard.press("1")
    expect(page.locator(".choice.right")).to_have_count(1)
    expect(page.locator(".why")).to_contain_text(re.compile("^(Right|Not so)"))
    wait_for(page, "!document.querySelector('.badge.busy')")


def inspect(page: Page, shown: Shown) -> None:
    """A file's bytes, and a field in them, by keys."""
    page.keyboard.press("b")
    choices = page.locator("#dump-choice option").all_inner_texts()
    wanted = next(text for text in choices if shown.dump in text)
    page.locator("#dump-choice").select_option(label=wanted)
    page.locator("#hex").focus()
    page.keyboard.press("Home")
    for _ in range(400):
        if page.locator("#fields .chosen .field-name").inner_text() == shown.field:
            break
        page.keyboard.press("]")
    expect(page.locator("#explain .field-tag")).to_have_text(shown.field)
    page.keyboard.press("z")


def break_it(page: Page) -> None:
    """The last node is killed by its button; then everything is done again up to here, in a few seconds."""
    nodes = page.locator(".card").count()
    page.keyboard.press("f")
    page.locator(f"input[value=n{nodes}]").check()
    page.locator("[data-verb=kill]").click()
    expect(page.locator(f".card[data-node=n{nodes}] .role")).to_have_text("✗ down")
    expect(page.locator("#told")).to_contain_text("SIGKILL")
    wait_for(page, "!document.querySelector('.badge.busy')")


def again(page: Page) -> float:
    """Again from the marked command: how many seconds it takes."""
    page.keyboard.press("z")
    began = time.monotonic()
    page.locator("#steps .is-current .again").click()
    wait_for(page, "document.querySelector('.badge.busy')")
    wait_for(page, "!document.querySelector('.badge.busy')")
    took = time.monotonic() - began
    assert page.locator("#toast").is_hidden(), page.locator("#toast").inner_text()
    return took


def look_back(page: Page) -> None:
    """The slider to the first entry and back to the end."""
    newest = place(page)
    page.locator("#slider").fill("0")
    expect(page.locator(".badge.past")).to_be_visible()
    expect(page.locator("#told")).to_contain_text("nodes")
    page.keyboard.press("PageDown")
    page.locator("#title").click()
    page.keyboard.press("End")
    expect(page.locator("#slider")).to_have_value(str(newest))


def replayed(browser: Browser, shown: Shown, folder: Path) -> None:
    """The recording as one HTML file, opened from the disk."""
    out = folder / "lesson.html"
    subprocess.run(
        [*PYLITEFS, "replay", str(folder / "run.jsonl.gz"), "--html", str(out)],
        check=True,
        timeout=60,
    )
    assert out.stat().st_size <= 1_000_000
    with open_page(browser, out.as_uri(), theme="dark") as page:
        expect(page.locator(".badge.recorded")).to_be_visible()
        step_to(page, shown.command)
        expect(page.locator("#told")).to_contain_text(shown.told)
        picture(page, f"{shown.name}-replay")
        page.keyboard.press("End")
        expect(page.locator("#told")).to_contain_text("SIGKILL")


@pytest.mark.parametrize(
    "shown",
    LESSONS,
    ids=lambda shown: shown.name,
)
def test_a_lesson(browser: Browser, tmp_path: Path, shown: Shown) -> None:
    """From the command line to the page, and from its recording to a file, with keys alone where keys do."""
    with lecture(shown.name, tmp_path) as url, open_page(browser, url) as page:
        begun(page)
        step_to(page, shown.command)
        expect(page.locator("#told")).to_contain_text(shown.told)
        expect(page.locator(f"#tab-{shown.tab}")).to_have_attribute("aria-selected", "true")
        picture(page, shown.name)
        inspect(page, shown)
        ask_the_class(page, shown.name)
        look_back(page)
        break_it(page)
    replayed(browser, shown, tmp_path)


@pytest.mark.full
def test_again_takes_a_few_seconds(browser: Browser, tmp_path: Path) -> None:
    """New nodes, and everything up to a step done again, in less than 5 s; then the lesson goes on."""
    with lecture("ltx-file", tmp_path) as url, open_page(browser, url) as page:
        begun(page)
        step_to(page, "run-to ltx.commit")
        break_it(page)
        expect(page.locator(".card[data-node=n1]")).to_be_visible()
        page.keyboard.press("PageUp")
        page.keyboard.press("PageUp")
        took = again(page)
        assert took < AGAIN_S, took
        expect(page.locator(".card[data-node=n1] .role")).to_have_text("★ primary")
        step_to(page, "run-to ltx.commit")
        expect(page.locator("#told")).to_contain_text("is synced")
