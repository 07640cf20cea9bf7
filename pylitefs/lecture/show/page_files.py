"""The page's files, as they are served, and as a self-contained page is made from them.

The rule: whatever lies in `page/` and has one of these types is a file of the page; nothing else is.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import PurePosixPath

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def page_with(index: bytes, script: str) -> bytes:
    """index.html for a page that makes more of the lecture's: `script`.js begins, with share.css."""
    for old, new in (
        (b"<body>", f'<body data-page="{script}">'),
        (b'src="app.js"', f'src="{script}.js"'),
        (b"</head>", '<link rel="stylesheet" href="share.css">\n</head>'),
    ):
        assert index.count(old) == 1, old
        index = index.replace(old, new.encode())
    return index


def page_files() -> Mapping[str, bytes]:
    """The page's files by name: what is served, and what a self-contained page is made from."""
    folder = files("pylitefs.lecture.show") / "page"
    return {
        entry.name: entry.read_bytes()
        for entry in folder.iterdir()
        if entry.is_file() and PurePosixPath(entry.name).suffix in TYPES
    }
