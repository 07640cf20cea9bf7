"""A SQLite database that changes for the tests, and the LTX file of each of its transactions."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from pylitefs.ltx.checksum import CHECKSUM_FLAG
from pylitefs.ltx.encoder import Encoder
from pylitefs.ltx.frame_encoder import FrameEncoder
from pylitefs.ltx.header import FLAG_LZ4, FLAG_NO_CHECKSUM, Header, format_filename
from tests.ltx.samples import checksum_of

START_MS = 1_700_000_000_000


class LivingDatabase:
    """A database in a rollback mode, beside a folder of LTX files in one of the formats."""

    def __init__(
        self, folder: Path, form: str = "lz4", setup: Callable[[sqlite3.Connection], object] | None = None
    ):
        """`setup` may set what holds before the first table."""
        self.folder = folder / "ltx"
        self.form = form
        if form == "v3b":
            self.folder /= "0"
        self.folder.mkdir(parents=True)
        self.path = folder / "database"
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.execute("PRAGMA synchronous=OFF")
        if setup is not None:
            setup(self.db)
        self.pages: list[bytes] = []
        self.states: dict[int, bytes] = {}
        """The whole database after each TXID."""
        self.txid = 0

    def commit(self, *, whole: bool = False) -> int:
        """What SQLite has written since becomes a transaction; its TXID, the same one if there is nothing.

        `whole` after a VACUUM, which writes every page, also one that happens to be what it was.
        """
        data = self.path.read_bytes()
        size = int.from_bytes(data[16:18], "big")
        size = 65536 if size == 1 else size
        pages = [data[at : at + size] for at in range(0, len(data), size)]
        same_size = not self.pages or len(self.pages[0]) == size
        old = self.pages if same_size and not whole else []
        changed = {at + 1: page for at, page in enumerate(pages) if at >= len(old) or old[at] != page}
        if not changed:
            return self.txid
        before = checksum_of(dict(enumerate(self.pages, 1))) if self.txid else 0
        self.pages, self.txid = pages, self.txid + 1
        self.states[self.txid] = data
        flags = {"plain": 0, "lz4": FLAG_LZ4, "v3b": FLAG_NO_CHECKSUM}[self.form]
        is_framed = self.form == "v3b"
        header = Header(
            flags,
            size,
            len(pages),
            self.txid,
            self.txid,
            START_MS + 1000 * self.txid,
            0 if is_framed else before,
        )
        with (self.folder / format_filename(self.txid, self.txid)).open("wb") as file:
            encoder = FrameEncoder(file.write, header) if is_framed else Encoder(file.write, header)
            for pgno, page in changed.items():
                encoder.encode_page(pgno, page)
            encoder.finish(0 if is_framed else checksum_of(dict(enumerate(pages, 1))) | CHECKSUM_FLAG)
        return self.txid

    def run(self, *statements: str) -> int:
        """One transaction; its TXID."""
        self.db.execute("BEGIN")
        for statement in statements:
            self.db.execute(statement)
        self.db.execute("COMMIT")
        return self.commit()

    def forget(self, txid: int) -> None:
        """Retention: the files up to this TXID are gone."""
        for path in self.folder.iterdir():
            if int(path.name[:16], 16) <= txid:
                path.unlink()

    def close(self) -> None:
        self.db.close()
