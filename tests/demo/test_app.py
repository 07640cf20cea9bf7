"""`demo/up --app` as a class uses it: two nodes, their applications and NGINX, in a real browser."""

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

from pylitefs.cluster.cluster import is_mounted
from tests import axe
from tests.lecture.browsing import chromium, open_page

ROOT = Path(__file__).resolve().parents[2]
LAG_S = 0.2

pytestmark = [pytest.mark.fuse, pytest.mark.nginx, pytest.mark.browser]


@dataclass
class Demo:
    """The running demo: its page, and each node's mount."""

    process: subprocess.Popen[str]
    url: str
    mounts: list[Path]

    def told(self, text: str) -> str:
        """The next line that its terminal shows with this text."""
        assert self.process.stdout is not None
        line = next((line for line in self.process.stdout if text in line), "")
        assert line, f"it has ended, and never said {text!r}"
        return line

    def say(self) -> str:
        """Press Enter in its terminal; the line that it answers with."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()


def command_lines() -> Iterator[str]:
    """Of every process that there is."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        # One that has just ended has no such file any more, or one that cannot be read.
        with contextlib.suppress(OSError):
            yield os.fsdecode(path.read_bytes())


@contextlib.contextmanager
def running(*options: str) -> Iterator[Demo]:
    """The demo with these options, ready; at the end nothing of it may be left."""
    command = [sys.executable, str(ROOT / "demo" / "app" / "up.py"), "--port", "0", "--no-browser"]
    process = subprocess.Popen(
        [*command, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        told = ""
        for line in process.stdout:
            told += line
            if "Ctrl-C" in line:
                break
        url = re.search(r"http://\S+", told)
        assert url, told
        mounts = [Path(found).parent for found in re.findall(r"sqlite3 (\S+)", told)]
        yield Demo(process, url[0], mounts)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert not any(is_mounted(mount) for mount in mounts)
        base = mounts[0].parent.parent
        assert not base.exists()
        assert not any(str(base) in line for line in command_lines())
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running("--lag", f"{LAG_S * 1000:.0f}ms") as one:
        yield one


@pytest.fixture
def page(demo: Demo) -> Iterator[Page]:
    # Not silent: Chromium says on the console that an answer was a 503.
    with chromium() as browser, open_page(browser, demo.url, silent=False) as page:
        yield page


def answered_by(page: Page) -> str:
    return page.locator("#node strong").inner_text()


def pin(page: Page, to: str) -> None:
    page.get_by_role("button", name=to).click()
    page.wait_for_load_state()


def add_invoice(page: Page) -> str:
    """Add an invoice on the page; its number."""
    page.get_by_role("link", name="New invoice").click()
    page.get_by_label("Quantity").fill("3")
    page.get_by_role("button", name="Add").click()
    return page.locator("h1").inner_text().removeprefix("Invoice ")


def test_requests_alternate_between_the_nodes(demo: Demo, page: Page) -> None:
    """A class sees who answers: n1, n2, n1, n2, style sheets or not."""
    seen = []
    for _ in range(6):
        page.reload()
        seen.append(answered_by(page))
    assert set(seen) == {"n1", "n2"}
    assert all(one != other for one, other in itertools.pairwise(seen))


def test_an_invoice_added_through_the_replica_appears_on_both(demo: Demo, page: Page) -> None:
    """The replica's proxy passes the write on; the writer sees it at once on the replica, by its cookie."""
    pin(page, "the replica")
    assert answered_by(page) == "n2"
    number = add_invoice(page)
    assert answered_by(page) == "n2"
    for name in ("the primary", "the replica"):
        pin(page, name)
        page.goto(demo.url)
        assert page.locator("tbody a").first.inner_text() == number
    page.goto(f"{demo.url}invoices/{number}")
    page.get_by_role("button", name="Mark as paid").click()
    page.wait_for_load_state()
    assert "paid 2" in page.locator("main").inner_text()


def test_one_s_own_write_is_read_with_the_cookie_and_not_without(demo: Demo) -> None:
    """The replica is 200 ms behind: without `__txid` it shows the old state, with it the new."""
    with httpx.Client(base_url=demo.url, trust_env=False, timeout=20) as http:
        http.cookies.set("pin", "replica")
        before = http.get("/").text.partition("/invoices/")[2][:20]
        stale = 0
        for _ in range(5):
            names = re.findall(r"<option>([^<]+)", http.get("/invoices/new").text)
            form = {"customer": names[0], "item": "stapler", "quantity": "1"}
            number = http.post("/invoices", data=form).headers["location"].rpartition("/")[2]
            assert "__txid" in http.cookies
            without = httpx.get(demo.url, cookies={"pin": "replica"}, trust_env=False).text
            stale += f'href="/invoices/{number}"' not in without
            assert f'href="/invoices/{number}"' in http.get("/").text
        assert before
        assert stale


def test_the_load_counts_along(demo: Demo, page: Page) -> None:
    """Each node's TXID moves on the page while the writes go on; also for who is pinned to one of them."""
    pin(page, "the replica")
    page.goto(f"{demo.url}load")
    page.get_by_role("button", name="Begin").click()
    page.wait_for_function("document.querySelectorAll('#nodes tbody tr').length == 2")
    texts = "[...document.querySelectorAll('#nodes tbody code, #nodes tbody td:nth-child(3)')]"
    first = page.evaluate(f"{texts}.map(one => one.textContent)")
    page.wait_for_function(
        f"first => {texts}.every((one, at) => parseInt(one.textContent, 16) > parseInt(first[at], 16) + 20)",
        arg=first,
    )


def test_the_lag_is_told_as_what_it_is(page: Page) -> None:
    """It is more than the delay that was asked for, and looked like it."""
    pin(page, "the replica")
    assert re.search(r"last word of the primary: \d+\.\d s ago", page.locator("#node").inner_text())
    pin(page, "the primary")
    assert "last word" not in page.locator("#node").inner_text()


def test_axe_finds_nothing_serious(demo: Demo, page: Page) -> None:
    """The list, a search, a new invoice, one invoice, the load, and what is not there."""
    for path in ("", "?q=oslo", "invoices/new", "invoices/1", "load", "invoices/0"):
        page.goto(f"{demo.url}{path}")
        assert page.locator("h1").count() == 1
        assert not axe.serious(page), path


def test_without_a_primary_reads_go_on_and_a_write_is_told_why(
    demo: Demo, page: Page, eventually: Callable[..., None]
) -> None:
    """Killed as a failing machine would be; and when it is back, writes are."""
    assert "was killed" in demo.say()
    page.goto(demo.url)
    assert answered_by(page) == "n2"
    page.get_by_role("link", name="New invoice").click()
    page.get_by_role("button", name="Add").click()
    assert page.locator("h1").inner_text() == "The primary cannot be reached"
    assert "Nothing was written" in page.locator("body").inner_text()
    page.get_by_role("link", name="Back to the invoices").click()
    assert answered_by(page) == "n2"
    assert "is back" in demo.say()

    def primary_answers() -> bool:
        answer = httpx.get(f"{demo.url}node", cookies={"pin": "primary"}, trust_env=False)
        return answer.status_code == 200

    eventually(primary_answers, "the primary's application", 20)
    assert add_invoice(page)


def test_a_demo_that_is_killed_takes_all_along(tmp_path: Path, eventually: Callable[..., None]) -> None:
    """Nodes, applications and NGINX end with it, by their standard input."""
    command = [sys.executable, str(ROOT / "demo" / "app" / "up.py"), "--port", "0", "--no-browser"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        assert any("Ctrl-C" in line for line in process.stdout)
    finally:
        process.kill()
        process.communicate()

    def gone() -> bool:
        return not any(str(tmp_path) in line for line in command_lines())

    eventually(gone, "the end of all processes", 20)
    (base,) = tmp_path.iterdir()
    assert not any(is_mounted(base / name / "mnt") for name in ("n1", "n2"))
    shutil.rmtree(base)


def numbers(page: Page) -> list[str]:
    """Of the invoices on the list."""
    return page.locator("tbody a").all_inner_texts()


def has_arrived(demo: Demo) -> bool:
    """Whether both nodes are at the same position."""
    first, second = ((mount / "data.db-pos").read_text() for mount in demo.mounts)
    return first == second


@pytest.mark.full
def test_the_application_goes_on_through_a_failover(eventually: Callable[..., None]) -> None:
    """A write during the gap waits for the next primary, and none that was confirmed is lost."""
    with (
        running("--failover") as demo,
        chromium() as browser,
        open_page(browser, demo.url, silent=False) as page,
    ):
        assert page.locator("footer button").all_inner_texts()[:2] == ["n1", "n2"]
        added = [add_invoice(page)]
        eventually(lambda: has_arrived(demo), "n2 has it")
        assert "n1 was killed" in demo.say()
        page.goto(demo.url)
        assert answered_by(page) == "n2"
        added.append(add_invoice(page))
        assert re.search(r"n2 is the primary now: lease taken \d+\.\d s after n1's death", demo.told("n2 is"))
        assert answered_by(page) == "n2"
        page.goto(demo.url)
        assert numbers(page)[:2] == added[::-1] and "primary" in page.locator("#node").inner_text()


@pytest.mark.full
def test_a_failover_to_and_fro_under_writes_loses_nothing_that_was_confirmed(
    eventually: Callable[..., None],
) -> None:
    """The killed node comes back as a replica, and takes over in its turn; every answer is an invoice or a
    clear sentence."""
    with running("--failover") as demo, httpx.Client(base_url=demo.url, trust_env=False, timeout=30) as http:
        names = re.findall(r"<option>([^<]+)", http.get("/invoices/new").text)
        form = {"customer": names[0], "item": "stapler", "quantity": "1"}
        confirmed: list[str] = []

        def write() -> None:
            answer = http.post("/invoices", data=form)
            if answer.status_code == 303:
                confirmed.append(answer.headers["location"].rpartition("/")[2])
            else:
                assert re.search("Nothing was written|look whether it is there", answer.text), answer.text

        for old, new in (("n1", "n2"), ("n2", "n1")):
            for _ in range(10):
                write()
            eventually(lambda: has_arrived(demo), "both have all")
            assert f"{old} was killed" in demo.say()
            for _ in range(10):
                write()
            demo.told(f"{new} is the primary now")
            demo.told(f"{old} is a replica of {new} now")
            eventually(lambda: has_arrived(demo), "both have all")
        assert len(confirmed) >= 38
        for pin in ("primary", "replica"):
            http.cookies.set("pin", pin)
            for number in confirmed:
                assert http.get(f"/invoices/{number}").status_code == 200, f"{number} is lost on {pin}"
