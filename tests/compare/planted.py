"""A pylitefs with one fault, to be found: `python -m tests.compare.planted FAULT mount …`.

The rule: the fault is the only difference, on both nodes; a database's third transaction has it, or one
answer of the mount. What is shipped stays right, or the replica would refuse it and everything would differ.
"""

import errno
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from pylitefs.backup import merge
from pylitefs.cli.main import run
from pylitefs.http.turnover import TurnoverApi
from pylitefs.lease.consul import ConsulLease
from pylitefs.ltx.compaction import compact
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import HEADER_SIZE, TRAILER_SIZE, Header, Trailer
from pylitefs.ltx.position import Pos
from pylitefs.mount.attributes import MountAttributes
from pylitefs.mount.handles import Attributes
from pylitefs.mount.operations import MountOperations
from pylitefs.store import capture, rollback
from pylitefs.store.names import FileKind
from pylitefs.store.state import DatabaseState

TXID = 3
Pages = list[tuple[int, bytes]]


def tamper_with_files(change: Callable[[bytes], bytes]) -> None:
    """Have both nodes keep another file than the one that was made and sent."""
    advance = DatabaseState.advance

    def planted(self: DatabaseState, header: Header, pos: Pos) -> None:
        advance(self, header, pos)
        if pos.txid == TXID:
            path = self.ltx.path(TXID, TXID)
            path.write_bytes(change(path.read_bytes()))

    DatabaseState.advance = planted  # type: ignore[method-assign]


def parts(data: bytes) -> tuple[Header, Pages, Trailer]:
    from pylitefs.compare.ltx_facts import _pages

    header = Header.unpack(data[:HEADER_SIZE])
    return header, list(_pages(header, data)), Trailer.unpack(data[-TRAILER_SIZE:])


def page_byte(data: bytes) -> bytes:
    header, pages, trailer = parts(data)
    pgno, page = pages[-1]
    pages[-1] = pgno, page[:100] + bytes([page[100] ^ 1]) + page[101:]
    return encode(header, pages, trailer.post_apply_checksum)


def checksum(data: bytes) -> bytes:
    header, pages, trailer = parts(data)
    return encode(header, pages, trailer.post_apply_checksum ^ 1)


def page_order(data: bytes) -> bytes:
    """Two pages that swap places; the encoder would refuse, so their numbers are swapped in plain bytes."""
    header, pages, trailer = parts(data)
    assert not header.is_compressed, "the test's nodes do not compress"
    size = 4 + header.page_size
    first, second = (data[HEADER_SIZE + n * size :][:size] for n in (0, 1))
    del pages, trailer
    return data[:HEADER_SIZE] + second + first + data[HEADER_SIZE + 2 * size :]


def missing_transaction() -> None:
    commit = capture.commit_transaction
    skipped = set()

    def planted(state: Any, *arguments: Any, **options: Any) -> Pos | None:
        if state.pos.txid == TXID - 1 and state.name not in skipped:
            skipped.add(state.name)
            return None
        return commit(state, *arguments, **options)

    rollback.commit_transaction = planted  # type: ignore[attr-defined]


def wrong_errno() -> None:
    def mkdir(self: MountOperations, path: str, mode: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    MountOperations.mkdir = mkdir  # type: ignore[method-assign, assignment]


def late_mode() -> None:
    """A replica's database looks writable at first."""
    of_file, started = MountAttributes.of_file, time.monotonic()

    def planted(
        self: MountAttributes, found: os.stat_result, kind: FileKind | None = None, *, halted: bool = False
    ) -> Attributes:
        return of_file(self, found, None if time.monotonic() - started < 60 else kind, halted=halted)

    MountAttributes.of_file = planted  # type: ignore[method-assign]


def no_destroy() -> None:
    """Whoever gives the lease back leaves its session to end by itself."""

    def release(self: ConsulLease, session: str) -> None:
        self.ask(self._calls.release(session))

    ConsulLease.release = release  # type: ignore[method-assign]


def another_text() -> None:
    async def handoff(self: TurnoverApi, request: Request) -> Response:
        del self, request
        return PlainTextResponse("not now\n", 500)

    TurnoverApi.handoff = handoff  # type: ignore[method-assign]


def backup_names_node() -> None:
    """What goes into a backup keeps the node's id, also where it continues another file."""

    def planted(*arguments: Any, **options: Any) -> Any:
        return compact(*arguments, **{**options, "keep_node_id": True})

    merge.compact = planted  # type: ignore[attr-defined]


FAULTS: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "page-order": lambda: tamper_with_files(page_order),
    "page-byte": lambda: tamper_with_files(page_byte),
    "checksum": lambda: tamper_with_files(checksum),
    "missing-transaction": missing_transaction,
    "wrong-errno": wrong_errno,
    "late-mode": late_mode,
    "no-destroy": no_destroy,
    "another-text": another_text,
    "backup-names-node": backup_names_node,
}

if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    sys.exit(run(sys.argv[2:]))
