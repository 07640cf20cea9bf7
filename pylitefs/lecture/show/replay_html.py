"""A recording as one HTML file: the lecture's page with the run in it, to be opened from disk.

The rule: a file is at most 1 MB. The recording goes in as its own lines, gzipped, in base64; where they
do not fit, the bytes of the largest dumps are left out, and each says so.
"""

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

from pylitefs.lecture.model import Dump, Json, to_line
from pylitefs.lecture.recording import Recording, RecordingError
from pylitefs.lecture.show.bundle import bundle
from pylitefs.lecture.show.changed_rows import with_rows
from pylitefs.lecture.show.page_files import page_files
from pylitefs.lecture.show.sides import with_sides

MAX_BYTES = 1_000_000
#: The longest dumps that are kept whole, tried in this order.
_KEPT = (65536, 16384, 4096, 2048, 1024, 512, 128, 0)


def page(recording: Recording, after: Json | None = None) -> bytes:
    """The whole file; `after` is the next lesson. RecordingError if 1 MB does not hold even its entries."""
    files = page_files()
    title, rows = _title(recording), _told(recording)
    for attempt in _smaller_and_smaller(recording):
        html = bundle(files, _packed(attempt, rows), title, json.dumps(after) if after else "").encode()
        if len(html) <= MAX_BYTES:
            return html
    raise RecordingError(
        f"{len(recording.entries)} entries do not fit into a page of {MAX_BYTES:,} bytes: "
        "play the recording with `pylitefs replay FILE`, or record fewer steps"
    )


def page_to_print(recording: Recording) -> bytes:
    """The file for a program that prints it at once: whole, and drawn as soon as it has loaded."""
    plain = base64.b64encode(_text(recording, _told(recording))).decode()
    return bundle(page_files(), plain, _title(recording)).encode()


def _title(recording: Recording) -> str:
    return f"{recording.head.title} – pylitefs"


def _told(recording: Recording) -> Mapping[int, Json]:
    """The lines of the entries, by number, with what is told beside them from all of the bytes."""
    told = map(with_sides, with_rows(recording.lines()))
    return {line["entry"]["seq"]: line for line in told if "entry" in line}


def _packed(recording: Recording, rows: Mapping[int, Json]) -> str:
    return base64.b64encode(gzip.compress(_text(recording, rows), mtime=0)).decode()


def _text(recording: Recording, rows: Mapping[int, Json]) -> bytes:
    """The lines; the entries are those with their rows, which were told from all of the bytes."""
    lines = (rows[line["entry"]["seq"]] if "entry" in line else line for line in recording.lines())
    return "".join(f"{to_line(line)}\n" for line in lines).encode("utf-8", "surrogatepass")


def _smaller_and_smaller(recording: Recording) -> Iterator[Recording]:
    yield recording
    longest = max((len(dump.data) for dump in recording.dumps.values()), default=0)
    for limit in _KEPT:
        if limit < longest:
            dumps = {key: _cut(dump, limit) for key, dump in recording.dumps.items()}
            yield replace(recording, dumps=dumps)


def _cut(dump: Dump, limit: int) -> Dump:
    if len(dump.data) <= limit:
        return dump
    note = f"Its {len(dump.data):,} bytes are left out, so that this page stays under 1 MB. {dump.note}"
    return replace(dump, data=b"", parts=(), changed=(), note=note.strip())
