"""What a student takes home: one zip with each recording as a page to open from disk, and the byte layouts.

    index.html           what there is
    byte-layouts.html    every format as a table, to print
    LESSON.html          a recording, self-contained

The rule: nothing in it needs a network, a server or pylitefs; the same recordings give the same bytes.
"""

import zipfile
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from pylitefs import __version__
from pylitefs.lecture.model import Json
from pylitefs.lecture.recording import Head, Recording, RecordingError
from pylitefs.lecture.show import layouts
from pylitefs.lecture.show.replay_html import page

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em; color: #111;
  background: #fff; }
h1 { font-size: 1.6em; } h2 { font-size: 1.15em; margin: 1.6em 0 .2em; }
p { margin: .2em 0 .6em; }
table { border-collapse: collapse; width: 100%; font-size: .92em; }
th, td { text-align: left; vertical-align: top; padding: .15em .6em; border: 1px solid #999; }
th { background: #eee; } td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.name { font-family: ui-monospace, monospace; white-space: nowrap; border-left: 5px solid var(--kind); }
@media (max-width: 600px) {
  body { margin: 1em auto; } table { font-size: .8em; table-layout: fixed; }
  th, td { padding: .15em .35em; overflow-wrap: break-word; } td.name, td.n { white-space: normal; }
  th:nth-child(1) { width: 15%; } th:nth-child(2) { width: 17%; } th:nth-child(3) { width: 28%; }
}
@media print {
  body { font-size: 9.5pt; max-width: none; margin: 0; padding: 0; }
  section { break-inside: avoid; } thead { display: table-header-group; } tr { break-inside: avoid; }
  a { color: inherit; text-decoration: none; }
}
"""
#: The kinds' colours, told apart by the colour-blind too (Okabe and Ito's); the name says it as well.
_COLOURS = {
    "magic": "#000000",
    "size": "#e69f00",
    "page": "#0072b2",
    "count": "#56b4e9",
    "txid": "#009e73",
    "checksum": "#d55e00",
    "salt": "#cc79a7",
    "flag": "#f0e442",
    "time": "#8a6d3b",
    "lock": "#cc79a7",
    "content": "#bbbbbb",
    "unused": "#eeeeee",
}
_WHEN = (1980, 1, 1, 0, 0, 0)
"""Of every file in the zip: the earliest time that a zip can say."""


def write(out: Path, recordings: Sequence[Recording]) -> list[str]:
    """Write the zip; the names in it. Raises RecordingError where it cannot be, or two have one name."""
    files = {
        "index.html": index_page([one.head for one in recordings]),
        "byte-layouts.html": layouts_page(),
    }
    for recording, after in zip(recordings, [*recordings[1:], None], strict=False):
        name = f"{_file_name(recording.head.lesson)}.html"
        if name in files:
            raise RecordingError(f"two recordings are of the lesson {recording.head.lesson}: leave one out")
        files[name] = page(recording, _link(after.head) if after else None)
    try:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                entry = zipfile.ZipInfo(f"{out.stem}/{name}", _WHEN)
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, data)
    except OSError as error:
        raise RecordingError(f"{out}: {error.strerror}; name another file") from None
    return list(files)


def _link(head: Head) -> Json:
    """The next lesson of the zip, as the end of the one before names it."""
    return {"lesson": head.lesson, "title": head.title, "href": f"{_file_name(head.lesson)}.html"}


def _file_name(lesson: str) -> str:
    """The lesson's name as a file's; a recording from elsewhere may call itself anything."""
    kept = "".join(one if one.isalnum() or one in "-_" else "-" for one in lesson).strip("-")
    return kept or "lesson"


def index_page(heads: Iterable[Head]) -> bytes:
    """The list of what is in the zip."""
    rows = "".join(
        f'<p><a href="{_file_name(head.lesson)}.html"><b>{escape(head.title)}</b></a><br>'
        f"{escape(head.summary)} ({len(head.steps)} steps)</p>\n"
        for head in heads
    )
    return _page(
        "pylitefs: how a SQLite transaction is replicated",
        "<p>Each page below is a recording of real, mounted nodes: open it in a browser, no network needed. "
        "Space or PageDown goes on, PageUp back, <kbd>?</kbd> shows the keys.</p>\n"
        f'{rows}<h2>To print</h2>\n<p><a href="byte-layouts.html"><b>The byte layouts</b></a><br>'
        "Journal, WAL, WAL index, LTX file, stream frames: every field with its offset.</p>\n",
    )


def layouts_page() -> bytes:
    """Every format as a table, for paper."""
    body = "".join(_section(one) for one in layouts.sections())
    about = "<p>Numbers are big-endian and sizes in bytes, unless said otherwise.</p>\n"
    return _page("The byte layouts of SQLite and LiteFS", about + body)


def _section(section: layouts.Section) -> str:
    rows = "".join(
        f'<tr><td class="n">{escape(row.offset)}</td><td class="n">{escape(row.size)}</td>'
        f'<td class="name" style="--kind: {_COLOURS.get(row.kind, "#999")}">{escape(row.name)}</td>'
        f"<td>{escape(row.meaning)}</td></tr>\n"
        for row in section.rows
    )
    return (
        f"<section><h2>{escape(section.title)}</h2>\n<p>{escape(section.about)}</p>\n"
        "<table><thead><tr><th>offset</th><th>size</th><th>field</th><th>meaning</th></tr></thead>\n"
        f"<tbody>\n{rows}</tbody></table></section>\n"
    )


def _page(title: str, body: str) -> bytes:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><main><h1>{escape(title)}</h1>\n{body}<p><small>Made by pylitefs {__version__}.</small></p>"
        "</main></body></html>\n"
    ).encode()
