"""A recording as a PDF, for slides and hand-outs: an installed Chromium prints the page that opens from disk.

The rule: nothing is drawn here. The page makes a sheet for each thing that Next brings (show/page/print.js),
and any browser prints the same; without a Chromium the error says how.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from pylitefs.errors import PylitefsError
from pylitefs.lecture.recording import Recording
from pylitefs.lecture.show.replay_html import page_to_print

BROWSER = "PYLITEFS_CHROMIUM"
"""The environment's word for which browser prints."""
PROGRAMS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
LONGEST_S = 300.0
"""A browser that prints for longer hangs."""
_PAGE = re.compile(rb"/Type\s*/Page\b")


def write_pdf(recording: Recording, out: Path) -> int:
    """Print the recording into a file; how many pages. Raises PylitefsError with the remedy."""
    program = find_browser()
    with tempfile.TemporaryDirectory(prefix="pylitefs-print-") as folder:
        html, made = Path(folder) / "lesson.html", Path(folder) / "lesson.pdf"
        html.write_bytes(page_to_print(recording))
        _print(program, html, made, Path(folder) / "profile")
        data = made.read_bytes() if made.exists() else b""
    count, wanted = len(_PAGE.findall(data)), sheets(recording)
    if count != wanted:
        raise PylitefsError(
            f"{program} printed {count} of {wanted} pages; write a page with --html, and print it from there"
        )
    try:
        out.write_bytes(data)
    except OSError as error:
        raise PylitefsError(f"{out}: {error.strerror}; name another file with --pdf") from None
    return count


def sheets(recording: Recording) -> int:
    """How many things Next brings, as print.js counts them; it prints the first 300."""
    entries = recording.entries
    after = [n for n, one in enumerate(entries) if one.stop]
    rest = after[-1] + 1 if after else 0
    while 0 < rest < len(entries) and entries[rest].name in ("expect", "look"):
        rest += 1
    return min(len(after) + (rest < len(entries)), 300)


def find_browser() -> str:
    """A Chromium, Chrome or Edge. Raises PylitefsError where there is none."""
    named = os.environ.get(BROWSER)
    for program in (named,) if named else PROGRAMS:
        found = shutil.which(program)
        if found:
            return found
    raise PylitefsError(
        f"--pdf needs {named or 'Chromium, Chrome or Edge'}, and there is none here: install it, or write a "
        "page with --html and print it from your browser"
    )


def _print(program: str, html: Path, out: Path, profile: Path) -> None:
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [
        program,
        "--headless=new",
        *as_root,
        "--disable-gpu",
        "--no-pdf-header-footer",
        f"--user-data-dir={profile}",
        f"--print-to-pdf={out}",
        html.as_uri(),
    ]
    try:
        subprocess.run(command, capture_output=True, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired:
        raise PylitefsError(
            f"{program} did not print within {LONGEST_S:.0f} s; write a page with --html, and print it there"
        ) from None
    except OSError as error:
        raise PylitefsError(f"{program}: {error.strerror}; install Chromium, or use --html") from None
