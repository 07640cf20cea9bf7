"""What is wrong with the page as it is laid out now: found in the browser, with one evaluation a state."""

import time
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Page

from pylitefs.lecture.model import Entry

MEASURE = Path(__file__).with_name("layout.js").read_text()
"""A function: a list of what is wrong, in words."""

WALK = f"""async (stops) => {{
  const MEASURE = {MEASURE};
  const found = [];
  const slider = document.querySelector('#slider');
  for (const at of stops) {{
    slider.value = String(at);
    slider.dispatchEvent(new Event('input'));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
    found.push([at, MEASURE()]);
  }}
  return found;
}}"""


def stops(entries: Sequence[Entry]) -> list[int]:
    """Where Next stops on its way through a recording; what is expected after a step belongs to it."""
    found = [0]
    for entry in entries:
        if entry.stop:
            found.append(entry.seq)
        elif entry.name in ("expect", "look") and found[-1] == entry.seq - 1:
            found[-1] = entry.seq
    return found


DRAWN = f"""async () => {{
  for (let turn = 0; turn < 2; turn++) {{
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  }}
  return ({MEASURE})();
}}"""
"""The same, once it is drawn: a window that is resized draws anew in the next frame."""


def wrong(page: Page) -> list[str]:
    """What is wrong, and stays so."""
    deadline = time.monotonic() + 5.0
    while (found := _wrong(page)) and time.monotonic() < deadline:
        pass
    return found


def _wrong(page: Page) -> list[str]:
    found: list[str] = page.evaluate(DRAWN)
    return found


def walk(page: Page, at: Sequence[int]) -> dict[int, list[str]]:
    """Go to each of these entries: what is wrong there."""
    found: list[tuple[int, list[str]]] = page.evaluate(WALK, list(at))
    return {entry: bad for entry, bad in found if bad}
